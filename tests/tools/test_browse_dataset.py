"""tools/analysis/browse_dataset.py on stores of every layout, with and without labels, in 2-D and 3-D."""
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmskelssl.cli import main
from mmskelssl.commands.browse import DEFAULT_SAMPLES
from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.layouts import get_layout
from mmskelssl.visualization import grows_up
from mmskelssl.visualization.browsing import evenly, one_per_class
from tests.conftest import random_clip, write_tiny_store
from tools.analysis import browse_dataset as tool

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / 'configs' / 'actclr_toy.py')
FEW = '''
data = dict(store='nowhere', pipeline=[
    dict(type='SelectPersons', max_persons=2), dict(type='ResizeFrames', frames=12), dict(type='PackSkeleton')])
model = dict(type='AimCLR', data_preprocessor=dict(type='SkeletonPreprocessor', keep_absent=True, views=dict(
    weak=[dict(type='TimeReverse', p=1.0)],
    strong=['weak', dict(type='Scale'), dict(type='SpatialFlip', p=1.0, mirror=True)])))
'''


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def run(*args):
        """Return the files that the tool reports."""
        capsys.readouterr()  # output of an importer before
        monkeypatch.setattr(sys, 'argv', ['browse_dataset.py', *map(str, args), '--out', str(tmp_path / 'out')])
        tool.main()
        return capsys.readouterr().out.split('\n')[:-1]
    return run


@pytest.fixture
def fails(run, capsys):
    def fails(*args):
        with pytest.raises(SystemExit) as error:
            run(*args)
        assert error.value.code == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith(('error: ', 'browse_dataset.py: error: ')), lines
        return lines[-1]
    return fails


@pytest.fixture
def few(tmp_path):
    path = tmp_path / 'few.py'
    path.write_text(FEW)
    return path


def unlabelled(path, channels=3, names=None, samples=20, layout='sbu15'):
    rng = np.random.default_rng(1)
    with StoreWriter(path, layout, channels=channels) as writer:
        for i in range(samples):
            clip = random_clip(rng, get_layout(layout), 1 + i % 2, 9)
            writer.add(names[i] if names else f's{i:02d}', clip[..., :channels])
    return path


@pytest.mark.parametrize('layout', ['ntu25', 'sbu15', 'coco17', 'halpe136'])
def test_layouts(run, few, tmp_path, layout):
    store = write_tiny_store(tmp_path / 'store', layout, persons=2, samples=8)
    plain, = run(store, '--sample', 'clip001', '--format', 'png')
    assert cv2.imread(plain).min() < 120
    viewed, = run(store, '--sample', 'clip001', '--views', few, '--format', 'png')
    image = cv2.imread(viewed)
    assert image.min() < 120 and image.shape[0] > 3 * 3 * 170  # three rows of three moments
    sheet, = run(store, '--contact-sheet', '--format', 'png')
    assert cv2.imread(sheet).min() < 120


@pytest.mark.parametrize('options, message', [
    (['--html', '--fps', '5'], '--fps is for pictures: leave out --html'),
    (['--html', '--format', 'png'], '--format is for pictures'), (['--html', '--angles', '1', '2'], '--angles is for'),
    (['--seed', '5'], '--seed is for the augmentations of --views')])
def test_options_without_effect(options, message, capsys):
    with pytest.raises(SystemExit):
        main(['browse', 'unused', *options])
    assert message in capsys.readouterr().err


def test_by_default_the_first_of_a_few_classes(run, tiny_store):
    store = SkeletonStore(tiny_store)
    files = run(tiny_store)
    ids = [Path(file).stem for file in files]
    assert [int(store.labels[store.positions[name]]) for name in ids] == [0, 1, 2, 3]
    assert [store.ids.index(name) for name in ids] == [list(store.labels).index(label) for label in range(4)]
    for name, file in zip(ids, files, strict=True):
        with Image.open(file) as image:
            assert image.format == 'GIF' and image.n_frames == store.keypoints(store.positions[name]).shape[1]


def test_several_samples_and_each_format(run, tiny_store, few):
    store = SkeletonStore(tiny_store)
    for suffix in ('gif', 'mp4', 'png'):
        files = run(tiny_store, '--sample', 'clip004', 'clip002', 'clip004', '--format', suffix)
        assert [Path(file).name for file in files] == [f'clip004.{suffix}', f'clip002.{suffix}']
        assert all(Path(file).stat().st_size > 1000 for file in files)
    viewed, = run(tiny_store, '--sample', 'clip004', '--views', few)
    with Image.open(viewed) as image:  # the raw clip is the longest, or the resized one
        assert image.n_frames == max(12, store.keypoints(4).shape[1])


def test_pictures_repeat_and_the_seed_changes_them(run, tiny_store, few):
    def picture(*args):
        file, = run(tiny_store, '--sample', 'clip005', '--views', few, *args)
        return Path(file).read_bytes()
    assert picture() == picture('--seed', 0)
    assert picture('--format', 'png') == picture('--format', 'png')
    assert picture('--format', 'png') != picture('--format', 'png', '--seed', 1)


def test_a_store_without_labels(run, tmp_path, few):
    store = unlabelled(tmp_path / 'store')
    assert len(run(store, '--format', 'png')) == DEFAULT_SAMPLES
    assert len(run(store, '--views', few, '--sample', 's01', '--format', 'png')) == 1
    for suffix in ('png', 'gif'):
        sheet, = run(store, '--contact-sheet', '--format', suffix)
        assert Path(sheet).name == f'contact_sheet.{suffix}'
    with Image.open(sheet) as image:
        assert image.n_frames == 9
        # 16 panels in 3 rows of 6, and a title.
        assert image.size[1] == 30 + 3 * (170 - 170 % 2 + 38)
    assert one_per_class(SkeletonStore(store)) == evenly(16, 20)


def test_two_dimensions_and_other_angles(run, tmp_path, few, fails):
    store = unlabelled(tmp_path / 'flat', channels=2)
    file, = run(store, '--sample', 's03', '--views', few, '--format', 'png')
    assert cv2.imread(file).min() < 120
    assert 'needs 3 coordinates' in fails(store, '--views', CONFIG)
    solid = unlabelled(tmp_path / 'solid')
    pictures = [Path(run(solid, '--sample', 's03', '--format', 'png', *angles)[0]).read_bytes()
                for angles in ((), ('--angles', 0, 0), ('--angles', 90, 10))]
    assert pictures[0] == pictures[1] != pictures[2]


def test_ids_that_are_no_file_names(run, tmp_path):
    names = ['../../up', 'a b/c', 'a_b_c', 'A_B_C', '.hidden', 'ü' * 200]
    store = unlabelled(tmp_path / 'store', names=names, samples=6)
    files = run(store, '--format', 'png', '--sample', *names)
    assert len({file.lower() for file in files}) == 6
    assert all(Path(file).resolve().parent == tmp_path / 'out' and Path(file).is_file() for file in files)


def test_one_bad_sample_is_named(fails, tmp_path):
    store = unlabelled(tmp_path / 'store')
    frames = np.load(store / 'keypoints.npy')
    frames[9 * 3 + 2, 4] = np.nan  # of the third sample
    np.save(store / 'keypoints.npy', frames)
    assert 'sample s02' in fails(store, '--sample', 's02') and 'NaN' in fails(store, '--sample', 's02')


def test_errors(fails, run, tiny_store, tmp_path, few):
    assert "no sample 'clip00'; the nearest are clip000, clip00" in fails(tiny_store, '--sample', 'clip00')
    assert 'the nearest are clip017, ' in fails(tiny_store, '--sample', 'Clip_017')
    assert "its ids look like 'clip000'" in fails(tiny_store, '--sample', '§')
    assert 'is not a store' in fails(tmp_path)
    assert 'no such config' in fails(tiny_store, '--views', tmp_path / 'none.py')
    assert '--contact-sheet' in fails(tiny_store, '--contact-sheet', '--views', few)
    assert 'frames per second must be positive' in fails(tiny_store, '--fps', 0)
    few.write_text(FEW.replace('TimeReverse', 'TimeReversed'))
    message = fails(tiny_store, '--views', few)
    assert 'few.py' in message and 'did you mean TimeReverse' in message
    few.write_text('model = dict(')
    assert 'few.py: SyntaxError' in fails(tiny_store, '--views', few)
    (tmp_path / 'out').write_text('')
    assert 'cannot be created' in fails(tiny_store, '--format', 'png')


@pytest.mark.slow
def test_the_command(tiny_kinect_store, tmp_path, warm_python):
    """Runs in a separate process from another folder."""
    def command(*args):
        return subprocess.run([warm_python / 'python', ROOT / 'tools/analysis/browse_dataset.py', *args], cwd=tmp_path,
                              env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True, timeout=300)
    done = command(tiny_kinect_store, '--sample', 'clip003', '--views', CONFIG, '--format', 'png')
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'work_dirs/browse/clip003.png\n'
    assert (tmp_path / 'work_dirs/browse/clip003.png').is_file()
    help_text = command('--help').stdout
    assert all(option in help_text for option in ('--sample', '--views', '--contact-sheet', '--angles', 'Examples'))


def test_the_commands_of_the_guide(run, tmp_path):
    """The commands are run as written, except for the size of the store and the output folder."""
    write_toy_store(tmp_path / 'toy', num_samples=32)
    text = (ROOT / 'docs' / 'browse.md').read_text(encoding='utf-8')
    lines = [line.split() for block in re.findall(r'```bash\n(.*?)```', text, re.S) for line in block.splitlines()]
    assert len(lines) == 3
    for _, script, store, *args in lines:
        assert script == 'tools/analysis/browse_dataset.py' and store == 'data/toy'
        args = [str(ROOT / arg) if arg.startswith('configs/') else arg for arg in args]
        assert all(Path(file).is_file() for file in run(tmp_path / 'toy', *args))
    picture = cv2.imread(str(ROOT / 'docs' / 'images' / 'browse.png'))
    drawn = cv2.imread(str(tmp_path / 'out' / 'S001C003P016R001A016.png'))
    assert drawn.shape == picture.shape  # the companions in the store differ, the sample does not


def test_real_clips(run, real_data, tmp_path):
    """SBU's vertical axis points down, but heads are still drawn above feet."""
    from mmskelssl.datasets.importers import IMPORTERS
    source = next(real_data.rglob('sbu*.pkl'), None)
    if source is None:
        pytest.skip(f'no SBU pickle below {real_data}')
    with StoreWriter(tmp_path / 'sbu') as writer:
        IMPORTERS['pyskl'](str(source), writer, layout='sbu15')
    store = SkeletonStore(tmp_path / 'sbu')
    assert grows_up([store.keypoints(i) for i in range(20)], store.layout) is False
    sheet, = run(tmp_path / 'sbu', '--contact-sheet', '--format', 'png')
    assert cv2.imread(sheet).min() < 120
