"""Doctor finds what is wrong with a machine, a run and a store, and finds nothing in sound ones."""
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmskelssl import cli
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.doctor import machine
from mmskelssl.doctor.finding import FAULT, NOTE, OK, Finding, print_findings
from mmskelssl.engine.collapse import loss_at_chance
from mmskelssl.engine.train import train


def doctor(capsys, *arguments) -> tuple[int, list[str]]:
    """Run the command. Returns its exit status and its lines."""
    status = 0
    try:
        cli.main(['doctor', *map(str, arguments)])
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().out.splitlines()


@pytest.fixture(scope='module')
def trained(tiny_store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('doctor') / 'run'
    train('configs/simclr_toy.py', str(folder), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
        'model.backbone.channels': (8, 8, 16, 16)})
    return folder


HEALTHY = {'loss': [2.7, 2.0, 1.2, .8], 'batch_top1': [20, 50, 80, 90], 'batch_cosine': [.5, .2, .1, .1],
           'val/mean_cosine': [.8, .3], 'val/feature_std': [.4, .8], 'val/knn_top1': [40., 70.],
           'lr': [1e-4, 1e-3, 5e-4, 1e-5]}


@pytest.fixture
def run_with(trained, tmp_path):
    """Function from changed curves to a work_dir with these curves."""
    def make(**curves) -> Path:
        folder = tmp_path / 'run'
        shutil.copytree(trained, folder)
        log, = folder.glob('*/vis_data/scalars.json')
        curves = {**HEALTHY, **{name.replace('__', '/'): values for name, values in curves.items()}}
        log.write_text(''.join(json.dumps({name: value, 'step': 4 * i}) + '\n'
                               for name, values in curves.items() for i, value in enumerate(values)))
        return folder
    return make


def test_a_healthy_run(run_with, capsys):
    status, lines = doctor(capsys, run_with())
    assert status == 0 and not [line for line in lines if line.startswith('FAULT')]
    assert [line for line in lines if line.startswith('note')][0].startswith('note  48 clips were not searched')
    for text in ('all 1 epochs are done', 'the loss has gone from 2.7 to 0.8', 'better than chance',
                 '90 % of the views find', 'features of different clips differ (mean cosine 0.30, feature std 0.80)',
                 'nearest neighbours reach 70.0 %', 'the learning rate is at most 0.001', '48 clips without a fault'):
        assert any(line.startswith('ok') and text in line for line in lines), text


@pytest.mark.parametrize('curves, message', [
    (dict(loss=[2.7, float('nan')]), 'the loss became NaN or infinite at iteration 4. Lower the learning rate'),
    (dict(loss=[1., 1.2, 2.], batch_top1=[90, 60, 50]), 'the loss has risen from 1 to 2. Lower the learning rate'),
    (dict(loss=[2.72, 2.71, 2.708]),
     'guessing among 15 embeddings (log 15 = 2.708). The encoder does not distinguish clips'),
    (dict(batch_top1=[12.5, 12.5, 13]), 'views do not find their own clip in the batch (top-1 13.0 %, chance 12.5 %'),
    (dict(batch_cosine=[.9, .999]), 'mean cosine between different clips 0.999'),
    (dict(val__mean_cosine=[.8, .995]), 'different clips look alike to the encoder (mean cosine 0.995'),
    (dict(val__feature_std=[.8, .01]), 'different clips look alike to the encoder (mean cosine 0.300, feature std 0.0'),
    (dict(lr=[0, 0, 0]), 'the learning rate never exceeds 0, so nothing is learned')])
def test_a_run_that_does_not_learn(run_with, capsys, curves, message):
    status, lines = doctor(capsys, run_with(**curves))
    faults = [line for line in lines if line.startswith('FAULT')]
    assert status == 1 and any(message in line for line in faults), lines


@pytest.mark.parametrize('curves, message', [
    (dict(val__knn_top1=[70., 40.]), 'nearest neighbours reach 40.0 %, and 70.0 % with the untrained encoder'),
    (dict(lr=[1e-5, 1e-4, 1e-3]), 'the learning rate still rises at the end of the run')])
def test_a_run_to_look_at(run_with, capsys, curves, message):
    status, lines = doctor(capsys, run_with(**curves))
    assert status == 0 and any(line.startswith('note') and message in line for line in lines)


def test_a_rising_loss_with_better_views_is_fine(run_with, capsys):
    """A queue of better keys is a harder task."""
    assert doctor(capsys, run_with(loss=[1., 1.5]))[0] == 0


def test_a_run_whose_loss_stopped_it(run_with, capsys):
    folder = run_with()
    np.savez(folder / 'non_finite_iter_7_rank0.npz', loss=1)
    status, lines = doctor(capsys, folder)
    assert status == 1 and any('the run stopped because its loss' in line and 'iter_7' in line for line in lines)


def test_a_damaged_log(run_with, capsys):
    """Lines that are not valid are left out, and NaN is never healthy."""
    folder = run_with(val__feature_std=[.8, float('nan')], batch_cosine=[.1, float('nan')])
    log, = folder.glob('*/vis_data/scalars.json')
    log.write_bytes(b'\xff\xfe{"loss"\n[1]\n{"loss": 1' + b'0' * 400 + b', "step": 99}\n' + log.read_bytes() + b'{"lo')
    status, lines = doctor(capsys, folder)
    assert status == 1 and any('the loss has gone from 2.7 to 0.8' in line for line in lines)
    assert sum('feature std nan' in line or 'clips nan' in line for line in lines if line.startswith('FAULT')) == 2


def test_an_early_collapse_may_pass(run_with, capsys):
    """Before a fifth of the epochs is done, a problem is only a note."""
    from mmskelssl.doctor import run_health
    run = run_health.open_run('', str(run_with()), {'batch_top1': {0: 12.5}})
    assert run_health.check_views(run).level == FAULT
    early = run_health.Run(run.name, run.curves, {**run.info, 'epoch': 1},
                           {**run.decisive, 'train_cfg.max_epochs': 100}, run.model)
    assert run_health.check_views(early).level == NOTE
    assert run_health.check_progress(early) == Finding(
        NOTE, '1 of 100 epochs are done', 'if it is not running, continue with the same command and --resume')


def test_a_run_without_a_checkpoint_or_a_store(run_with, capsys):
    folder = run_with()
    (folder / 'epoch_1.pth').write_bytes(b'no checkpoint')
    status, lines = doctor(capsys, folder)
    assert status == 1 and 'no checkpoint in' in lines[0]
    (folder / 'epoch_1.pth').unlink()
    status, lines = doctor(capsys, folder)
    assert status == 0 and lines[0].startswith('note  there is no checkpoint yet')
    assert any('the store of the run is unknown' in line for line in lines)


def test_the_loss_at_chance_depends_on_the_temperature():
    assert loss_at_chance(10.39, 32769, .07) and not loss_at_chance(9.9, 32769, .07)
    assert not loss_at_chance(3.3, 31, 1.) and loss_at_chance(3.43, 31, 1.)  # 2.5 is perfect, and log 31 is 3.434
    assert loss_at_chance(float('nan'), 31, 1.) and not loss_at_chance(0., 1, 1.)


# Stores

def clips_of(store: str) -> list[tuple[str, np.ndarray, int]]:
    source = SkeletonStore(store)
    return [(name, np.array(source.keypoints(i)), int(source.labels[i])) for i, name in enumerate(source.ids)]


def write(path: Path, clips, layout: str = 'ntu25', third: str = '', units: str = 'm', fps: float | None = 30.) -> Path:
    """Write a store in which every third clip is a test clip."""
    channels = clips[0][1].shape[-1]
    with StoreWriter(path, layout, channels, units, classes=['a', 'b', 'c', 'd'], third=third,
                     fps=fps) as writer:
        for name, clip, label in clips:
            writer.add(name, clip, label)
        names = [name for name, *_ in clips]
        writer.set_split('train', [name for i, name in enumerate(names) if i % 3])
        writer.set_split('test', names[::3])
    return path


def test_a_healthy_store(tiny_store, tmp_path, capsys):
    status, lines = doctor(capsys, write(tmp_path / 'store', clips_of(tiny_store)))
    assert status == 0 and lines[-1] == 'no fault found' and all(line.startswith('ok') for line in lines[:-1])
    assert any('30 frames per second' in line for line in lines) and any('4 classes' in line for line in lines)


def pixels(clip):
    return clip * 200 + 500


def scores_for_depth(clip):
    flat = pixels(clip)
    flat[..., 2] = np.random.default_rng(0).uniform(.2, 1, flat.shape[:-1])
    return flat


def split_person(clip):
    """The body of the first person appears as the second one from the middle on."""
    middle = clip.shape[1] // 2
    made = np.zeros((2, *clip.shape[1:]), np.float32)
    made[0, :middle], made[1, middle:] = clip[0, :middle], clip[0, middle:]
    return made


@pytest.mark.parametrize('change, about, message', [
    (scores_for_depth, {}, 'the third coordinate looks like a score, not a depth: it lies in 0.2..1, and x and y up'),
    (pixels, {}, 'probably pixels or millimetres. Import the data again with the right --units'),
    (lambda clip: clip * 1000, {}, 'the units are said to be metres, but bodies measure 1'),
    (lambda clip: pixels(clip)[..., :2], {}, 'they are probably pixels'),
    (lambda clip: (clip[..., :2] + 2) / 8, dict(units='px'), 'they are probably shares of the picture'),
    (split_person, {}, 'one person seems to be split into two in 48 of 48 clips with several persons')])
def test_data_that_were_understood_wrongly(tiny_store, tmp_path, capsys, change, about, message):
    clips = [(name, change(clip), label) for name, clip, label in clips_of(tiny_store)]
    status, lines = doctor(capsys, write(tmp_path / 'store', clips, **about))
    assert status == 1 and any(line.startswith('FAULT') and message in line for line in lines), lines


def test_persons_who_take_turns_are_not_one(tiny_store, tmp_path, capsys):
    """The second one is three metres away."""
    clips = [(name, split_person(clip) + np.float32([0, 3])[:, None, None, None] * (split_person(clip) != 0), label)
             for name, clip, label in clips_of(tiny_store)]
    status, lines = doctor(capsys, write(tmp_path / 'store', clips))
    assert status == 0 and any('none of them is one person split' in line for line in lines), lines


def test_labels_and_frame_rate(tiny_store, tmp_path, capsys):
    clips = clips_of(tiny_store)
    status, lines = doctor(capsys, write(tmp_path / 'one', [(name, clip, 2) for name, clip, _ in clips], fps=None))
    assert status == 1 and any(line.startswith('FAULT all 48 labels are the same class') for line in lines)
    assert any(line.startswith('note  the frame rate is unknown') for line in lines)
    status, lines = doctor(capsys, write(tmp_path / 'none', [(name, clip, None) for name, clip, _ in clips]))
    assert status == 0 and any(line.startswith('note  no clip has a label') for line in lines)
    apart = [(name, clip, 3 if i % 3 == 0 else label % 3) for i, (name, clip, label) in enumerate(clips)]
    status, lines = doctor(capsys, write(tmp_path / 'apart', apart))
    assert status == 0 and any("1 classes of 'test' have no clip in 'train' (d)" in line for line in lines)


def test_leaks(tiny_store, tmp_path, capsys):
    clips = clips_of(tiny_store)
    twins = [*clips[:2], ('twin', clips[2][1], clips[2][2]), *clips[2:]]
    near = [('slower', np.repeat(clips[1][1], 2, axis=1) * np.float32(1.1), clips[1][2]), *clips]
    for name, made, message in (('twins', twins, 'exact duplicates across splits'),
                                ('near', near, 'near duplicates across splits: 1 of')):
        status, lines = doctor(capsys, write(tmp_path / name, made))
        assert status == 0 and any(message in line and 'Leave them out of the test split' in line
                                   for line in lines), lines
    status, lines = doctor(capsys, '--no-near', tmp_path / 'near')
    assert not any('near duplicates across' in line for line in lines)
    index = json.loads((tmp_path / 'near' / 'index.json').read_text())
    index['splits']['test'].append(index['splits']['train'][0])
    (tmp_path / 'near' / 'index.json').write_text(json.dumps(index))
    status, lines = doctor(capsys, tmp_path / 'near')
    assert status == 1 and any("samples of 'test' are also in 'train'" in line and 'mmskelssl prepare split' in line
                               for line in lines)


def test_what_is_neither(tmp_path, capsys):
    for path, message in ((tmp_path / 'missing', 'no such folder'), (tmp_path, 'no vis_data/scalars.json')):
        with pytest.raises(SystemExit) as end:
            cli.main(['doctor', str(path)])
        assert end.value.code == 2 and message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(['doctor', '--near'])
    assert '--near is for a work_dir or a store' in capsys.readouterr().err


# The machine

def test_this_machine(capsys, monkeypatch):
    monkeypatch.setattr(machine.torch, 'get_num_threads', lambda: 1)
    found = list(machine.check_machine(seconds=0))
    assert found[0].what.startswith('mmskelssl ') and found[-1].what.startswith('a trial training ran')
    assert FAULT not in [finding.level for finding in found], found
    text = ' '.join(finding.what for finding in found)
    for part in ('torch', 'GPU', 'usable cores', 'current folder', 'temporary files', 'shared memory', 'OpenCV'):
        assert part in text


def test_broken_machines(monkeypatch, tmp_path):
    assert machine.check_threads(8, 2) == Finding(FAULT, 'PyTorch uses 8 threads on 2 usable cores, which makes each '
                                                  'step several times slower', 'set OMP_NUM_THREADS=2')
    assert machine.check_space('x', str(tmp_path), 1 << 60, 'make room').level == FAULT
    assert machine.check_space('x', str(tmp_path / 'no'), 1, 'make room').level == NOTE
    monkeypatch.setitem(__import__('sys').modules, 'cv2', None)
    assert machine.check_opencv().level == FAULT
    monkeypatch.setattr(machine, 'write_toy_store', lambda *args, **kwargs: (_ for _ in ()).throw(OSError('no room')))
    assert machine.try_training(0) == Finding(
        FAULT, 'a trial training fails: OSError: no room',
        'mmskelssl prepare toy --out data/toy, then mmskelssl train simclr_toy, show more')


def test_a_machine_that_computes_wrong_numbers(monkeypatch):
    monkeypatch.setattr(machine, 'train_for', lambda *args: ([3., float('nan')], 1.))
    assert machine.try_training(0).level == FAULT


def test_required_versions(monkeypatch):
    monkeypatch.setattr(machine.metadata, 'requires', lambda name: [
        'torch<1', 'no-such-package>=2', 'numpy>=1', 'opencv-python>=4', 'pytest; extra == "tests"'])
    wrong, missing = machine.check_requirements()
    assert wrong.level == NOTE and wrong.what.startswith('torch ') and wrong.cure == 'pip install "torch<1"'
    assert missing == Finding(FAULT, 'the package no-such-package is missing', 'pip install "no-such-package>=2"')


def test_output(capsys):
    assert print_findings([Finding(OK, 'fine'), Finding(NOTE, 'odd\x1b', 'look'), Finding(FAULT, 'bad', 'pip x')]) == 1
    assert capsys.readouterr().out == 'ok    fine\nnote  odd\\x1b. Look\nFAULT bad. pip x\n1 faults, 1 notes\n'


def test_a_run_on_several_stores(pool_run, tmp_path, capsys):
    """Curves and data of each store are checked, and the clips that they have in common."""
    folder = tmp_path / 'run'
    shutil.copytree(pool_run, folder)
    log, = folder.glob('*/vis_data/scalars.json')
    with log.open('a') as file:
        file.write(json.dumps({'val/kinect/mean_cosine': .999, 'val/kinect/knn_top1': 1., 'step': 9}) + '\n')
        file.write(json.dumps({'val/tiny/mean_cosine': .5, 'val/tiny/feature_std': .5, 'step': 9}) + '\n')
    status, lines = doctor(capsys, folder)
    text = '\n'.join(lines)
    assert status == 1 and 'FAULT kinect: different clips look alike' in text
    assert 'ok    tiny: features of different clips differ' in text and 'note  kinect: nearest neighbours' in text
    assert text.count('48 clips without a fault') == 2
    assert 'clips that two stores have in common were not searched. mmskelssl verify' in text
    assert 'ok    no clip of a store is like one of another store' in doctor(capsys, folder, '--near')[1]
