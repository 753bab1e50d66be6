"""A stream of frames gives the answers that the windows of the whole recording give."""
import numpy as np
import pytest

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.inference.stream import SkeletonStream
from mmskelssl.layouts import get_layout
from tests.conftest import random_clip

KINECT = get_layout('kinect20')


@pytest.fixture(scope='module')
def classifier(encoder_checkpoint, tiny_kinect_store, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('stream') / 'model')
    fit_classifier([FeatureExtractor(encoder_checkpoint, 'cpu')], tiny_kinect_store, left_out=0,
                   fps=30).save_pretrained(folder)
    return SkeletonClassifier.from_pretrained(folder, 'cpu')


@pytest.fixture(scope='module')
def recording() -> np.ndarray:
    """Two persons, 100 frames. The second one comes after 40 and is gone for frames 70 to 74."""
    made = random_clip(np.random.default_rng(5), KINECT, 2, 100)
    made[1, :40] = made[1, 70:75] = 0
    return made


@pytest.mark.parametrize('persons', ['each', 'together'])
@pytest.mark.parametrize('window, stride', [(1., .25), (.5, 1.), (5., .5)])
def test_equal_to_the_windows_of_the_recording(classifier, recording, persons, window, stride):
    whole = classifier.over_time([recording], window, stride, 30, persons)
    stream = SkeletonStream(classifier, 30, window, stride, persons)
    events = [event for frame in recording.swapaxes(0, 1) for event in stream.push(frame)] + stream.close()
    expected = sorted(zip(whole.windows, whole.predictions.probabilities, whole.predictions.names, strict=True),
                      key=lambda row: (row[0].end, row[0].person or 0))
    assert len(events) == len(expected) > 0
    for event, (cut, chances, name) in zip(events, expected, strict=True):
        assert (event.person, event.label) == (cut.person, name)
        assert (event.start, event.end) == pytest.approx((cut.start, cut.end))
        np.testing.assert_allclose(event.probabilities, chances, atol=1e-5)


@pytest.fixture(scope='module')
def of_two(tiny_store, tmp_path_factory):
    """A classifier of two persons."""
    checkpoint = train('configs/simclr_toy.py', str(tmp_path_factory.mktemp('two') / 'run'), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'model.backbone.channels': (8, 8, 16, 16)})
    return fit_classifier([FeatureExtractor(checkpoint, 'cpu')], tiny_store, left_out=0, fps=30)


def test_windows_of_several_persons_show_those_who_are_there(of_two):
    """Of four tracks, the first two end, and the last one comes before the third."""
    made = random_clip(np.random.default_rng(6), of_two.layout, 4, 120)
    made[:2, 40:] = made[2, :50] = made[3, :30] = 0
    whole = of_two.over_time([made], 1, .5, 30, 'together')
    stream = SkeletonStream(of_two, 30, 1, .5, 'together')
    events = [event for frame in made.swapaxes(0, 1) for event in stream.push(frame)]
    assert [event.end for event in events] == [window.end for window in whole.windows]
    np.testing.assert_allclose([event.probabilities for event in events], whole.predictions.probabilities, atol=1e-5)
    np.testing.assert_allclose(whole.predictions.probabilities[3], of_two([made[[3, 2], 45:75]]).probabilities[0],
                               atol=1e-5)


def test_an_impossible_unit_is_reported_with_its_window(classifier, monkeypatch):
    monkeypatch.setattr(classifier.networks[0], '_in_metres', True)
    stream = SkeletonStream(classifier, 30, 1.)
    with pytest.raises(UserError, match=r"^window 0.00-1.00 s of person 'anna': its bodies .* cannot be metres"):
        for frame in 1000 * random_clip(np.random.default_rng(7), KINECT, 1, 30)[0]:
            stream.push(dict(anna=frame))


def test_tracks_come_and_go(classifier, recording):
    """Ids are kept, gaps are absent frames, and memory does not grow."""
    stream = SkeletonStream(classifier, 30, 1., .5, 'each')
    seen = []
    for t in range(100):
        people = {name: recording[m, t] for m, name in enumerate(('anna', 'ben')) if recording[m, t].any()}
        seen += [(event.person, round(event.end, 2)) for event in stream.push(people or None)]
        assert len(stream._frames) <= 30
    assert ('anna', 1.) in seen and ('ben', 2.) in seen and ('ben', 1.) not in seen
    late = [event.end for _ in range(60) for event in stream.push(None)]
    assert late and max(late) < 115.5 / 30 and not any(stream._frames)  # half of a window after the last frame


@pytest.mark.parametrize('frame, message', [
    (np.ones((19, 3)), 'shape .19, 3., expected numbers of shape .20, 3.'), (np.full((20, 3), np.nan), 'NaN or Inf'),
    (np.full((20, 3), 'a'), 'an array of <U1'), (np.ones((17, 20, 3)), '17 persons, more than max_persons=16')])
def test_frames_that_are_refused(classifier, frame, message):
    stream = SkeletonStream(classifier, 30)
    with pytest.raises(UserError, match=message):
        stream.push(frame)
    assert stream.count == 0 and stream.close() == []
