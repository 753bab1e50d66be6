"""Windows over long recordings, and the segments that they are merged to."""
import csv
import json

import cv2
import numpy as np
import pytest

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier
from mmskelssl.cli import main
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.inference.clips import clips_in_memory
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.segments import segments
from mmskelssl.inference.windows import Window, cut, starts
from mmskelssl.layouts import get_layout
from tests.conftest import StoreWriter, random_clip

KINECT = get_layout('kinect20')


@pytest.fixture(scope='module')
def saved(encoder_checkpoint, tiny_kinect_store, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp('windows') / 'model')
    extractor = FeatureExtractor(encoder_checkpoint, 'cpu')
    fit_classifier([extractor], tiny_kinect_store, left_out=0, fps=30).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def classifier(saved):
    return SkeletonClassifier.from_pretrained(saved, 'cpu')


@pytest.fixture(scope='module')
def recording() -> np.ndarray:
    """Two persons, 10 s at 30 frames per second. The second one comes after 4 s."""
    made = random_clip(np.random.default_rng(5), KINECT, 2, 300)
    made[1, :120] = 0
    return made


@pytest.fixture(scope='module')
def recorded(recording, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('recorded') / 'store'
    with StoreWriter(path, 'kinect20', fps=30) as writer:
        writer.add('day', recording)
    return str(path)


@pytest.mark.parametrize('total, length, step, expected', [
    (100, 60, 15, [0, 15, 30, 40]), (90, 60, 15, [0, 15, 30]), (60, 60, 15, [0]), (59, 60, 15, [0]),
    (61, 60, 15, [0, 1]), (10, 2, 4, [0, 4, 8]), (1, 1, 1, [0])])
def test_no_frame_is_left_out(total, length, step, expected):
    made = starts(total, length, step)
    assert made == expected and made[-1] + length >= total


def test_windows_are_parts_of_the_recording(recording):
    clips = clips_in_memory([recording], KINECT, 3, 30, ['day'])
    parts, windows = cut(clips, 2, .5, 30)
    assert len(parts) == 17 and parts.fps == 30 and parts.ids[1] == 'day 0.50-2.50 s'
    for i, persons in ((0, 1), (5, 2), (16, 2)):  # of those that are present
        np.testing.assert_array_equal(parts.read(i)[0], recording[:persons, 15 * i:15 * i + 60])
    parts, windows = cut(clips, 2, .5, 30, per_person=True)
    assert [window.first for window in windows if window.person == 0] == [*range(0, 241, 15)]
    second = [window for window in windows if window.person == 1]
    assert [window.first for window in second] == [*range(90, 241, 15)]  # from when it is there in half the frames
    assert (second[0].start, second[0].end) == (3, 5)
    row = windows.index(second[2])
    assert parts.ids[row] == 'day person 1 4.00-6.00 s' and (parts.read(row)[0] == recording[1:, 120:180]).all()
    half, _ = cut(clips_in_memory([recording], KINECT, 3), 2, .5, 15)
    assert half.read(0)[0].shape[1] == 30 and half.fps == 15  # at another rate, a window has other frames


def test_bad_durations(recording):
    clips = clips_in_memory([recording], KINECT, 3, 30)
    for window, stride in ((0, 1), (-1, 1), (2, 0), (float('nan'), 1), (2, float('inf'))):
        with pytest.raises(UserError, match='expected seconds above 0'):
            cut(clips, window, stride, 30)
    with pytest.raises(UserError, match='no window shows a person'):
        cut(clips_in_memory([recording * 0], KINECT, 3, 30), 2, 1, 30)


def merged(rows, **limits) -> list[tuple]:
    """Segments of windows of 2 s, every second, with these probabilities of a, b and c."""
    windows = [Window(0, None, 30 * i, 60, 30) for i in range(len(rows))]
    predictions = Predictions([''] * len(rows), ['a', 'b', 'c'], np.array(rows, np.float32))
    return [(one.start, one.end, one.label) for one in segments(['day'], windows, predictions, **limits)]


A, B, WEAK, NEITHER = (.9, .05, .05), (.05, .9, .05), (.45, .5, .05), (.35, .35, .3)


def test_hysteresis():
    assert merged([A, A, B, B]) == [(0, 2.5, 'a'), (2.5, 5, 'b')]
    assert merged([A, A, WEAK, A]) == [(0, 5, 'a')]  # another class is briefly better, but not likely
    assert merged([A, A, WEAK, A], leave=.5) == [(0, 2.5, 'a'), (2.5, 3.5, 'unknown'), (3.5, 5, 'a')]
    assert merged([A, A, NEITHER, NEITHER]) == [(0, 2.5, 'a'), (2.5, 5, 'unknown')]
    assert merged([WEAK, WEAK]) == [(0, 3, 'unknown')]
    assert merged([WEAK, WEAK], enter=.5) == [(0, 3, 'b')]


def test_short_segments_become_unknown():
    assert merged([A, A, B, A, A], shortest=1.5) == [(0, 2.5, 'a'), (2.5, 3.5, 'unknown'), (3.5, 6, 'a')]
    assert merged([A, A, B, A, A]) == [(0, 2.5, 'a'), (2.5, 3.5, 'b'), (3.5, 6, 'a')]
    with pytest.raises(UserError, match='expected 0 <= leave <= enter <= 1'):
        merged([A], enter=.3, leave=.5)


def test_a_gap_ends_a_segment():
    """So does another person, or another recording. The threshold of the classifier counts."""
    windows = [Window(0, 0, 0, 60, 30), Window(0, 0, 30, 60, 30), Window(0, 0, 300, 60, 30), Window(0, 1, 0, 60, 30),
               Window(1, 1, 0, 60, 30)]
    chances = np.array([A] * 5, np.float32)
    made = segments(['x', 'y'], windows, Predictions([''] * 5, ['a', 'b', 'c'], chances))
    assert [(one.id, one.person, one.start, one.end) for one in made] == [
        ('x', 0, 0, 3), ('x', 0, 10, 12), ('x', 1, 0, 2), ('y', 1, 0, 2)]
    assert made[0].probability == pytest.approx(.9)
    made = segments(['x', 'y'], windows, Predictions([''] * 5, ['a', 'b', 'c'], chances, threshold=.95))
    assert {one.label for one in made} == {'unknown'}


def test_windows_have_the_probabilities_of_their_frames(classifier, recording):
    timeline = classifier.over_time([recording], fps=30)
    assert {window.person for window in timeline.windows} == {0, 1}  # by default for a classifier of one person
    for row, window in list(enumerate(timeline.windows))[::7]:
        part = recording[window.person:window.person + 1, window.first:window.first + window.frames]
        np.testing.assert_allclose(timeline.predictions.probabilities[row], classifier([part]).probabilities[0],
                                   atol=1e-5)
    together = classifier.over_time([recording], fps=30, persons='together')
    assert {window.person for window in together.windows} == {None} and len(together.windows) == 17
    with pytest.raises(UserError, match='--persons both: choose one of each, together'):
        classifier.over_time([recording], fps=30, persons='both')


def test_another_frame_rate(classifier, recording):
    """Each frame twice at twice the rate gives the same answer for every window."""
    expected = classifier.over_time([recording], fps=30)
    doubled = classifier.over_time([np.repeat(recording, 2, 1)], fps=60)
    assert [(one.start, one.person) for one in doubled.windows] == [(one.start, one.person) for one in expected.windows]
    np.testing.assert_allclose(doubled.predictions.probabilities, expected.predictions.probabilities, atol=1e-4)


def test_the_frame_rate_must_be_known(encoder_checkpoint, tiny_kinect_store, recording):
    made = fit_classifier([FeatureExtractor(encoder_checkpoint, 'cpu')], tiny_kinect_store, left_out=0)
    with pytest.raises(UserError, match='the frame rate of the recordings is not known.*--fps'):
        made.over_time([recording])


def test_the_command(saved, classifier, recorded, recording, tmp_path, capsys):
    out = {name: str(tmp_path / name) for name in ('w.csv', 'w.json', 'w.npz', 's.csv', 's.json', 't.png')}
    arguments = ['predict', saved, recorded, '--window', '2', '--device', 'cpu', '--enter', '.3', '--leave', '.2']
    for table in ('w.csv', 'w.json', 'w.npz'):
        main([*arguments, '--out', out[table], '--segments', out['s.csv']])
    main([*arguments, '--segments', out['s.json'], '--timeline', out['t.png']])
    printed = capsys.readouterr()
    assert f'{out["w.csv"]}: 28 windows' in printed.out and '2 of 2 tracks drawn' in printed.err
    timeline = classifier.over_time([recording], fps=30)
    found = timeline.segments(.3, .2)
    lines = list(csv.DictReader(open(out['s.csv'], newline='')))
    assert [(line['id'], line['person'], float(line['start']), line['class']) for line in lines] == [
        ('day', str(one.person), one.start, one.label) for one in found]
    plain = json.load(open(out['s.json']))
    assert [one['class'] for one in plain] == [one.label for one in found] and plain[0]['end'] == found[0].end
    windows = list(csv.DictReader(open(out['w.csv'], newline='')))
    assert [float(line['start']) for line in windows] == [window.start for window in timeline.windows]
    assert json.load(open(out['w.json']))['clips'][3]['person'] == 0
    with np.load(out['w.npz'], allow_pickle=False) as file:
        np.testing.assert_allclose(file['probabilities'], timeline.predictions.probabilities, atol=1e-5)
        assert file['person'].tolist() == [window.person for window in timeline.windows]
    assert cv2.imread(out['t.png']).std() > 5
    main(arguments)
    assert capsys.readouterr().out.splitlines()[0].split() == ['id', 'person', 'start', 'end', 'class', 'probability']


@pytest.mark.parametrize('arguments, message', [
    (['--segments', 'a.csv'], '--segments is for long recordings: add --window'),
    (['--stride', '1'], '--stride is for long recordings'), (['--window', '2', '--draw', 'a.mp4'], 'use --timeline'),
    (['--window', '0'], '--window is 0.0: expected seconds'), (['--window', '2', '--segments', 'a.txt'], 'suffix must'),
    (['--window', '2', '--enter', '.2'], 'expected 0 <= leave'),
    (['--window', '2', '--timeline', 'a.mp4'], 'suffix must be .png')])
def test_bad_arguments(saved, recorded, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(['predict', saved, recorded, '--device', 'cpu', *arguments])
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_features_of_windows(encoder_checkpoint, recorded, recording, tmp_path, capsys):
    out = str(tmp_path / 'a.npz')
    main(['embed', encoder_checkpoint, '--data', recorded, '--out', out, '--window', '2', '--device', 'cpu'])
    extractor = FeatureExtractor(encoder_checkpoint, 'cpu')
    with np.load(out, allow_pickle=False) as file:
        assert file['features'].shape == (28, extractor.model.feat_channels)
        assert file['recording'].tolist() == ['day'] * 28 and file['start'][3] == 1.5 and file['end'][3] == 3.5
        np.testing.assert_allclose(file['features'][3], extractor([recording[0, 45:105]])[0], rtol=1e-4, atol=1e-5)
        assert file['person'].tolist() == [0] * 17 + [1] * 11
    with pytest.raises(SystemExit):
        main(['embed', encoder_checkpoint, '--data', recorded, '--out', out, '--stride', '2'])
    assert 'add --window SECONDS' in capsys.readouterr().err


def test_features_of_files_and_of_a_saved_encoder(encoder_checkpoint, tiny_kinect_store, tmp_path, capsys):
    extractor = FeatureExtractor(encoder_checkpoint, 'cpu', fps=30)
    extractor.save_pretrained(tmp_path / 'saved')
    clip = np.array(SkeletonStore(tiny_kinect_store).keypoints(2))[0]
    np.save(tmp_path / 'clip.npy', clip)
    expected = extractor([clip])
    for encoder in (encoder_checkpoint, str(tmp_path / 'saved')):
        main(['embed', encoder, '--data', str(tmp_path / 'clip.npy'), '--out', str(tmp_path / 'a.npz'),
              '--device', 'cpu'])
        with np.load(tmp_path / 'a.npz', allow_pickle=False) as file:
            np.testing.assert_allclose(file['features'], expected, rtol=1e-5)
            assert file['ids'].tolist() == [str(tmp_path / 'clip.npy')]
    main(['embed', str(tmp_path / 'saved'), '--data', tiny_kinect_store, '--split', 'test', '--out',
          str(tmp_path / 'b.npz'), '--device', 'cpu'])
    test = extractor.of_store(tiny_kinect_store, 'test')
    with np.load(tmp_path / 'b.npz', allow_pickle=False) as file:
        np.testing.assert_allclose(file['features'], test.feats, rtol=1e-4, atol=1e-6)
        assert file['labels'].tolist() == test.labels.tolist() and file['classes'].tolist()[1] == 'class 1'
    with pytest.raises(SystemExit):
        main(['embed', str(tmp_path / 'saved'), '--device', 'cpu'])
    assert '--data CLIPS and --out FILE are needed' in capsys.readouterr().err
