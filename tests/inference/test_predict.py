"""Predictions from the command line: stores, files of any format, JSON lines; other layouts and frame rates."""
import csv
import io
import json

import cv2
import numpy as np
import pytest

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier
from mmskelssl.cli import main
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.inference.change import resampled
from mmskelssl.inference.clips import clips_in_memory, clips_of_store
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.inference.output import draw_predictions, draw_segments
from mmskelssl.layouts import get_layout
from mmskelssl.layouts.convert import convert_layout
from tests.conftest import StoreWriter, random_clip


@pytest.fixture(scope='module')
def saved(encoder_checkpoint, tiny_kinect_store, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp('predict') / 'model')
    extractor = FeatureExtractor(encoder_checkpoint, 'cpu')
    fit_classifier([extractor], tiny_kinect_store, reject=.2, left_out=0, fps=30).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def classifier(saved):
    return SkeletonClassifier.from_pretrained(saved, 'cpu')


@pytest.fixture(scope='module')
def clips(tiny_kinect_store):
    store = SkeletonStore(tiny_kinect_store)
    return [np.array(store.keypoints(i)) for i in range(6)]


@pytest.fixture
def predict(saved, capsys):
    """Run the command; returns its stdout and stderr."""
    def run(*arguments):
        main(['predict', saved, *map(str, arguments), '--device', 'cpu'])
        return capsys.readouterr()
    return run


@pytest.fixture
def refused(saved, capsys):
    """Run a command that fails; returns its only line."""
    def run(*arguments):
        with pytest.raises(SystemExit) as status:
            main(['predict', saved, *map(str, arguments), '--device', 'cpu'])
        lines = capsys.readouterr().err.splitlines()
        assert status.value.code == 2
        return lines[-1]
    return run


def same(file: str, expected) -> None:
    made = np.load(file, allow_pickle=False)
    np.testing.assert_allclose(made['probabilities'], expected.probabilities, atol=1e-5)


def test_a_store_as_csv_json_and_npz(predict, classifier, tiny_kinect_store, tmp_path):
    store = SkeletonStore(tiny_kinect_store)
    expected = classifier(clips_of_store(store, 'test'))
    for name in ('a.csv', 'a.json', 'a.npz'):
        printed = predict(tiny_kinect_store, '--split', 'test', '--out', tmp_path / name, '--top', 3)
        assert printed.out == f'{tmp_path / name}: 16 clips, {expected.unknown.sum()} unknown\n'
    lines = list(csv.DictReader(open(tmp_path / 'a.csv', newline='')))
    assert [line['id'] for line in lines] == expected.ids == [store.ids[i] for i in store.split('test')]
    assert [line['class'] for line in lines] == expected.names
    best, second, third = expected.top(3)[4]
    assert lines[4]['best'] == best[0] and float(lines[4]['best_probability']) == pytest.approx(best[1], abs=1e-4)
    assert (lines[4]['second'], lines[4]['third']) == (second[0], third[0]) and best[1] >= second[1] >= third[1]
    content = json.loads((tmp_path / 'a.json').read_text())
    assert content['classes'] == expected.classes and content['clips'][4]['top'][1]['class'] == second[0]
    assert [clip['unknown'] for clip in content['clips']] == expected.unknown.tolist()
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as file:
        assert (file['probabilities'] == expected.probabilities).all() and file['ids'].tolist() == expected.ids
        assert (file['unknown'] == expected.unknown).all() and file['classes'].tolist() == expected.classes


def test_unknown_clips(classifier, tiny_kinect_store):
    made = classifier(clips_of_store(SkeletonStore(tiny_kinect_store)))
    assert 0 < made.unknown.sum() < len(made)
    for name, row, unknown in zip(made.names, made.probabilities, made.unknown, strict=True):
        assert name == ('unknown' if row.max() < classifier.threshold else made.classes[row.argmax()])
        assert unknown == (name == 'unknown')


def test_files(predict, classifier, clips, tmp_path):
    """One npy, a folder of npz files and csv tables, several paths at once."""
    expected = classifier([clips[0][0], clips[1][0], clips[2][0]])
    np.save(tmp_path / 'one.npy', clips[0][0])
    printed = predict(tmp_path / 'one.npy')
    head, line = printed.out.splitlines()
    assert head.split() == ['id', 'class', 'best', 'best_probability', 'second', 'second_probability']
    assert line.startswith(f'{tmp_path}/one.npy  {expected.names[0]}')
    assert "its joints are read as those of layout 'kinect20'" in printed.err
    assert '30 frames per second are assumed' in printed.err
    folder = tmp_path / 'several'
    folder.mkdir()
    np.savez(folder / 'two.npz', b=clips[1][0], c=clips[2][0])
    predict(tmp_path / 'one.npy', folder, '--out', tmp_path / 'made.npz')
    same(tmp_path / 'made.npz', expected)
    assert np.load(tmp_path / 'made.npz')['ids'].tolist() == [
        f'{tmp_path}/one.npy', f'{folder}/two/b', f'{folder}/two/c']


def test_a_damaged_file_is_named(predict, clips, tmp_path):
    np.save(tmp_path / 'good.npy', clips[0][0])
    (tmp_path / 'bad.npy').write_bytes(b'damaged')
    printed = predict(tmp_path)
    assert len(printed.out.splitlines()) == 2 and f'note: {tmp_path}: skipped bad.npy' in printed.err


def test_json_lines(predict, refused, classifier, clips, tmp_path, monkeypatch):
    lines = [json.dumps(dict(id='a', keypoints=clips[0].tolist(), fps=30)),
             json.dumps(dict(id=7, keypoints=clips[1][0].tolist())), '', json.dumps(clips[2][0].tolist())]
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'.join(lines)))
    predict('-', '--out', tmp_path / 'a.npz')
    same(tmp_path / 'a.npz', classifier(clips[:3]))
    assert np.load(tmp_path / 'a.npz')['ids'].tolist() == ['a', '7', 'line 4']
    for text, message in (('{', 'line 1: not JSON'), ('{"id": 1}', 'line 1: no keypoints'), ('', 'no clips'),
                          ('{"keypoints": [], "x": 1}', "unknown key 'x'"), ('[[1, 2]]', 'line 1 has shape (1, 2)'),
                          ('{"keypoints": [], "fps": -1}', 'expected frames per second'),
                          ('{"keypoints": [], "layout": "nonsense"}', "unknown layout 'nonsense'"),
                          ('[' * 100_000, 'line 1: not JSON'), ('{"keypoints": [], "layout": 3}', 'neither a name')):
        monkeypatch.setattr('sys.stdin', io.StringIO(text))
        assert message in refused('-')


def test_options_for_clips_that_state_nothing(predict, clips, wider, tmp_path, monkeypatch):
    """They also apply to JSON lines, and are reported where clips state something else."""
    line = dict(keypoints=np.array(SkeletonStore(wider).keypoints(0)).tolist())
    for given in (line, dict(line, fps=30, layout='ntu25')):
        monkeypatch.setattr('sys.stdin', io.StringIO(json.dumps(given)))
        noted = predict('-', '--layout', 'ntu25', '--convert', '--fps', '60', '--out', tmp_path / 'a.npz').err
        assert ('state 30 frames per second, so --fps 60 does not apply' in noted) == ('fps' in given)
        assert 'does not apply' not in noted or 'fps' in given
    noted = predict(wider, '--convert', '--layout', 'coco17', '--out', tmp_path / 'a.npz').err
    assert "state the layout 'ntu25', so --layout coco17 does not apply to them" in noted


@pytest.fixture(scope='module')
def wider(tmp_path_factory) -> str:
    """Clips with the 25 joints of Kinect v2."""
    path, rng = tmp_path_factory.mktemp('wider') / 'store', np.random.default_rng(3)
    with StoreWriter(path, 'ntu25') as writer:
        for i in range(3):
            writer.add(f'clip{i}', random_clip(rng, get_layout('ntu25'), 1, 20, i))
    return str(path)


def test_another_layout(predict, refused, classifier, wider, tmp_path):
    assert "the clips have layout 'ntu25', but" in refused(wider) and 'add --convert' in refused(wider)
    predict(wider, '--convert', '--out', tmp_path / 'a.npz')
    store = SkeletonStore(wider)
    same(tmp_path / 'a.npz', classifier([convert_layout(store.keypoints(i), 'ntu25', 'kinect20') for i in range(3)]))
    own = dict(get_layout('sbu15').fields(), name='mine', joints=[f'j{i}' for i in range(15)])
    with StoreWriter(tmp_path / 'own', own) as writer:
        writer.add('a', np.random.default_rng(0).normal(size=(1, 9, 15, 3)))
    for more in ((), ('--convert',)):
        assert "'mine' cannot be converted to 'kinect20': it has no counterpart for" in refused(tmp_path / 'own', *more)
    with StoreWriter(tmp_path / 'flat', 'kinect20', channels=2) as writer:
        writer.add('a', np.random.default_rng(0).normal(size=(1, 9, 20, 2)))
    assert 'the clips have 2 coordinates a joint, but' in refused(tmp_path / 'flat', '--convert')


def test_another_frame_rate(predict, classifier, clips, tmp_path):
    """A clip with each frame twice, at twice the rate, is the same movement. So is a store that states its rate."""
    doubled = [np.repeat(clip, 2, 1) for clip in clips]
    expected = classifier(clips)
    np.testing.assert_allclose(classifier(doubled, fps=60).probabilities, expected.probabilities, atol=1e-5)
    for name, rate in (('a', 60), ('b', None)):
        with StoreWriter(tmp_path / name, 'kinect20', fps=rate) as writer:
            for i, clip in enumerate(doubled):
                writer.add(str(i), clip)
    predict(tmp_path / 'a', '--out', tmp_path / 'a.npz')
    same(tmp_path / 'a.npz', expected)
    printed = predict(tmp_path / 'b', '--fps', 60, '--out', tmp_path / 'b.npz')
    same(tmp_path / 'b.npz', expected)
    assert 'assumed' not in printed.err


def test_resampling_invents_no_position():
    """A linear movement stays linear. Next to a frame in which a joint is missing, the nearest frame counts."""
    clip = np.zeros((1, 21, 2, 3), np.float32)
    clip[0, :, :, 0] = 1 + np.arange(21)[:, None]
    clip[0, 10:, 1] = 0
    made, scores = resampled(clip, np.ones((1, 21, 2), np.float32), 20, 30)
    assert made.shape == (1, 31, 2, 3) and scores.shape == (1, 31, 2)
    np.testing.assert_allclose(made[0, :, 0, 0], 1 + np.arange(31) * 2 / 3, rtol=1e-5)
    there = made[0, :, 1, 0]
    np.testing.assert_allclose(there[:14], 1 + np.arange(14) * 2 / 3, rtol=1e-5)
    assert (there[15:] == 0).all() and there[14] in (0, 10)
    half, _ = resampled(clip, None, 20, 10)
    assert (half == clip[:, ::2]).all()
    with pytest.raises(UserError, match='a clip of 21 frames cannot be resampled'):
        resampled(clip, None, .0001, 1000)


def test_drawing(predict, tiny_kinect_store, tmp_path):
    printed = predict(tiny_kinect_store, '--split', 'test', '--draw', tmp_path / 'a.mp4', '--out', tmp_path / 'a.csv')
    assert '16 of 16 clips drawn' in printed.err
    video = cv2.VideoCapture(str(tmp_path / 'a.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 10 and video.read()[1].std() > 5


def test_drawing_a_file_whose_name_is_not_utf8(classifier, clips, tmp_path):
    """OpenCV ends the process for such text, and Matplotlib raises an error."""
    named = clips_in_memory(clips[:1], classifier.layout, 3, 30, ['\udcff$x_{$.npy'])
    draw_predictions(str(tmp_path / 'a.png'), [named], classifier(named), 30)
    draw_segments(str(tmp_path / 'b.png'), classifier.over_time(named), [])
    assert all(cv2.imread(str(tmp_path / name)).std() > 5 for name in ('a.png', 'b.png'))


def test_bad_arguments(refused, tiny_kinect_store, tmp_path, capsys):
    assert 'the suffix must be .csv, .json, .npz' in refused(tiny_kinect_store, '--out', tmp_path / 'a.txt')
    assert 'the suffix must be .png' in refused(tiny_kinect_store, '--draw', tmp_path / 'a.avi')
    assert '--top 0' in refused(tiny_kinect_store, '--top', 0)
    assert 'no such file or folder' in refused(tmp_path / 'nothing')
    assert "has no split 'nothing'" in refused(tiny_kinect_store, '--split', 'nothing')
    assert '--fps is -3.0' in refused(tiny_kinect_store, '--fps', -3)
    with pytest.raises(SystemExit):
        main(['predict', str(tmp_path), tiny_kinect_store])
    assert 'config.json: no such file' in capsys.readouterr().err


def test_names_are_no_formulas_in_a_spreadsheet(saved, clips, tmp_path, monkeypatch, capsys):
    lines = [json.dumps(dict(id=name, keypoints=clips[0].tolist(), fps=30)) for name in ('=1+1', '-2', '@x', 'a=b')]
    for name in ('a.csv', 'a.json'):
        monkeypatch.setattr('sys.stdin', io.StringIO('\n'.join(lines)))
        main(['predict', saved, '-', '--out', str(tmp_path / name), '--device', 'cpu'])
    rows = list(csv.DictReader(open(tmp_path / 'a.csv', newline='')))
    assert [row['id'] for row in rows] == ["'=1+1", '-2', "'@x", 'a=b']
    content = json.loads((tmp_path / 'a.json').read_text())
    assert [clip['id'] for clip in content['clips']] == ['=1+1', '-2', '@x', 'a=b']
