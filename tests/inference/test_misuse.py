"""What users of saved models get wrong: files that would be lost, other units, options without effect, bad frames."""
import io
import json

import numpy as np
import pytest

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier, SkeletonStream
from mmskelssl.cli import main
from mmskelssl.errors import UserError
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.inference.saved.hub import push_folder
from mmskelssl.layouts import get_layout
from tests.conftest import random_clip

ZOO = 'zoo/simclr-nwucla-joint'
CLIP = random_clip(np.random.default_rng(3), get_layout('kinect20'), 1, 20)


@pytest.fixture(scope='module')
def saved(encoder_checkpoint, tiny_kinect_store, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp('misuse') / 'model')
    fit_classifier([FeatureExtractor(encoder_checkpoint, 'cpu')], tiny_kinect_store, left_out=0,
                   fps=30).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def classifier(saved):
    return SkeletonClassifier.from_pretrained(saved, 'cpu')


@pytest.fixture
def refused(capsys):
    """Run a command that fails; returns its only line."""
    def run(*arguments):
        with pytest.raises(SystemExit) as status:
            main([*map(str, arguments)])
        assert status.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]
    return run


@pytest.mark.parametrize('name', ['clips.npz', './clips.npz', 'link.npz'])
def test_clips_are_not_written_over(saved, refused, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    np.savez('clips.npz', a=CLIP)
    (tmp_path / 'link.npz').symlink_to('clips.npz')
    before = (tmp_path / 'clips.npz').read_bytes()
    for command in (['predict', saved, 'clips.npz'], ['embed', ZOO, '--data', 'clips.npz']):
        assert refused(*command, '--out', name) == f'error: {name} holds the clips: choose another file to write'
    assert (tmp_path / 'clips.npz').read_bytes() == before


def test_two_outputs_in_one_file(saved, refused, tmp_path):
    np.save(tmp_path / 'a.npy', CLIP)
    line = refused('predict', saved, tmp_path / 'a.npy', '--window', 1, '--out', tmp_path / 'x.csv', '--segments',
                   tmp_path / '.' / 'x.csv')
    assert 'is given twice' in line and not (tmp_path / 'x.csv').exists()


@pytest.mark.parametrize('options, message', [
    (['--segments', 'x.txt'], 'x.txt: the suffix must be .csv or .json'),
    (['--enter', '2'], 'expected 0 <= leave <= enter <= 1'), (['--shortest', 'nan'], 'expected 0 <= leave <= enter')])
def test_outputs_of_recordings_are_checked_first(saved, refused, options, message):
    assert message in refused('predict', saved, 'no-such-file.npy', '--window', 1, *options)


def test_a_file_has_no_splits(saved, refused, tmp_path):
    np.save(tmp_path / 'a.npy', CLIP)
    assert "is no store, so it has no split 'test'" in refused('predict', saved, tmp_path / 'a.npy', '--split', 'test')


def test_a_refused_file_is_named_and_not_the_temporary_store(saved, refused, tmp_path):
    np.savez(tmp_path / 'a.npz', clip=CLIP, ids=np.zeros(3))
    line = refused('predict', saved, tmp_path / 'a.npz')
    assert line.startswith(f'error: {tmp_path}/a.npz: no sample could be imported (first: a.npz: keys clip, ids')
    np.save(tmp_path / 'b.npy', CLIP[0, :, :17] - 5)
    assert refused('predict', saved, tmp_path / 'b.npy').endswith(
        'mmskelssl prepare has this option: import the files with it, and give the store')


@pytest.mark.parametrize('factor', [1000, 1e-4])
def test_clips_that_cannot_be_in_the_metres_of_the_training(classifier, factor):
    assert len(classifier([CLIP])) == 1
    for use in (classifier, FeatureExtractor.from_pretrained(ZOO, 'cpu')):
        with pytest.raises(UserError, match='clip 1: its bodies are .* which cannot be metres.* was trained in metres'):
            use([CLIP, CLIP * factor])


@pytest.mark.parametrize('line, message', [
    ('{"id": "a", "id": "b", "keypoints": %s}', "the key 'id' appears twice"),
    ('{"id": true, "keypoints": %s}', 'its id is not text'),
    (r'{"id": "\ud8ff", "keypoints": %s}', 'its id is not text without control characters')])
def test_json_lines(saved, refused, monkeypatch, line, message):
    monkeypatch.setattr('sys.stdin', io.StringIO(line % json.dumps(CLIP.tolist())))
    assert message in refused('predict', saved, '-')


@pytest.mark.parametrize('clips', [None, 5, 'clip.npy', {'a': CLIP}])
def test_what_is_no_list_of_clips(classifier, clips):
    with pytest.raises(UserError, match='expected a list of arrays, got (NoneType|int|str|dict)'):
        classifier(clips)


def test_numbers_of_numpy(classifier):
    stream = SkeletonStream(classifier, np.int64(30), np.float32(2), np.int64(1))
    assert (stream.fps, stream.length, stream.step) == (30, 60, 30)
    assert classifier([CLIP], fps=np.float32(30)).names == classifier([CLIP], fps=30.).names


def test_masked_values_are_missing(classifier):
    assert len(classifier([np.ma.array(CLIP, mask=False)])) == 1
    with pytest.raises(UserError, match='clip 0 contains NaN or Inf; fill its gaps first'):
        classifier([np.ma.masked_less(CLIP, 0)])


@pytest.mark.parametrize('options, message', [
    (dict(fps=0), 'fps is 0: expected frames per second'), (dict(fps=-1), 'fps is -1'), (dict(fps='30'), "fps is '30'"),
    (dict(fps=float('nan')), 'fps is nan'), (dict(fps=float('inf')), 'fps is inf'), (dict(window='2'), "window is '2'"),
    (dict(stride=None), 'stride is None'), (dict(max_persons=0), 'max_persons is 0'),
    (dict(max_persons='all'), "max_persons is 'all'")])
def test_numbers_of_a_stream(classifier, options, message):
    with pytest.raises(UserError, match=message):
        SkeletonStream(classifier, **options)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('frame, message', [
    ([[1, 2], [3]], 'frame 1 is not an array of numbers'), ([None, CLIP[0, 0]], 'frame 1 is not an array of numbers'),
    ({7: [[1, 2], [3]]}, 'frame 1, person 7 is not an array'),
    (CLIP[0, 0].astype(float) * 1e300, 'frame 1, person 0 contains NaN or Inf'),
    (np.ma.masked_less(CLIP[0, 0], 0), 'frame 1, person 0 contains NaN or Inf')])
def test_frames_that_cannot_be_read_leave_a_stream_as_it_was(classifier, frame, message):
    stream = SkeletonStream(classifier, 30, .1, .1)
    stream.push(CLIP[0, 0])
    with pytest.raises(UserError, match=message):
        stream.push(frame)
    assert stream.count == 1 and not stream.push(CLIP[0, 1]) and len(stream.push(CLIP[0, 2])) == 1


def test_a_stream_that_is_closed_twice(classifier):
    stream = SkeletonStream(classifier, 30, 1, 1)
    stream.push(CLIP[0, 0])
    assert [len(stream.close()), len(stream.close())] == [1, 0]
    stream.push(CLIP[0, 1])
    assert len(stream.close()) == 1


def test_a_revision_is_for_the_hub(saved):
    for use, source in ((FeatureExtractor, ZOO), (SkeletonClassifier, saved)):
        with pytest.raises(UserError, match="only repositories on the hub have a revision: leave out revision='v1'"):
            use.from_pretrained(source, revision='v1')


def test_an_upload_that_fails(monkeypatch):
    hub = pytest.importorskip('huggingface_hub')
    with pytest.raises(UserError, match="'mine': expected OWNER/NAME"):
        push_folder(lambda folder: None, 'mine')

    def fail(*args, **options):
        raise ConnectionError('no network')
    monkeypatch.setattr(hub.HfApi, 'create_repo', fail)
    with pytest.raises(UserError, match='me/mine cannot be uploaded to the hub: no network'):
        push_folder(lambda folder: None, 'me/mine')


def test_models_that_are_saved_already(refused, tmp_path):
    assert 'its weights are already in' in refused('export', ZOO, tmp_path / 'x.safetensors')
    assert 'is a saved model already: copy its folder' in refused('save', ZOO, '--out', tmp_path / 'x')
