"""The invariant stream from training to live predictions: its number of channels is known everywhere."""
import json
from pathlib import Path

import numpy as np
import pytest

from mmskelssl.apis import FeatureExtractor, SkeletonStream
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, layout_config, load_config
from mmskelssl.engine.run_spec import RunSpec
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.layouts import get_layout

STREAM = {'model.data_preprocessor.stream': 'invariant'}


@pytest.fixture(scope='module')
def checkpoint(tiny_kinect_store, tmp_path_factory) -> str:
    """A config with ``alignment='both'`` and ``velocity=True``, in which only the stream was changed."""
    return train('configs/simclr_nwucla.py', str(tmp_path_factory.mktemp('invariant') / 'run'), cfg_options={
        'data.store': tiny_kinect_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 16,
        'model.backbone.channels': (8, 8, 16, 16), **STREAM})


def turned(clip: np.ndarray) -> np.ndarray:
    return clip @ np.array([[.6, 0, .8], [0, 1, 0], [-.8, 0, .6]], np.float32)


def test_the_run_says_how_many_channels_it_has(checkpoint):
    info = load_checkpoint(checkpoint)['meta']['mmskelssl']
    model = json.loads(info['model'])
    assert (info['stream'], model['backbone']['in_channels']) == ('invariant', 12)
    log, = Path(checkpoint).parent.glob('*/*.log')
    assert 'SimCLR: alignment and velocity will be ignored, as the stream is invariant' in log.read_text()


def test_features_of_turned_clips_are_the_same(checkpoint, tiny_kinect_store, tmp_path):
    extractor, store = FeatureExtractor(checkpoint, 'cpu'), SkeletonStore(tiny_kinect_store)
    assert extractor.channels == 3
    clips = [np.asarray(store.keypoints(i)) for i in range(4)]
    made = extractor(clips)
    np.testing.assert_allclose(extractor([turned(clip) for clip in clips]), made, rtol=0, atol=1e-3)
    assert np.abs(made - made[:1]).max() > .01
    extractor.save_pretrained(tmp_path / 'saved')
    again = FeatureExtractor.from_pretrained(tmp_path / 'saved', 'cpu')
    np.testing.assert_array_equal(again(clips), made)


def test_a_classifier_of_two_streams_and_live_frames(checkpoint, encoder_checkpoint, tiny_kinect_store):
    """Streams of different numbers of channels in one classifier."""
    classifier = fit_classifier([FeatureExtractor(path, 'cpu') for path in (encoder_checkpoint, checkpoint)],
                                tiny_kinect_store, recipe='logreg', fps=30., left_out=0)
    assert classifier.channels == 3
    clip = np.asarray(SkeletonStore(tiny_kinect_store).keypoints(0))[0]
    stream = SkeletonStream(classifier, window=.2, stride=.1)
    events = [event for frame in clip for event in stream.push(frame)]
    assert events and events[0].probabilities.shape == (4,)


def test_another_number_of_channels_is_refused(tiny_kinect_store):
    options = {'data.store': tiny_kinect_store, **STREAM, 'model.backbone.in_channels': 3}
    cfg = load_config('configs/simclr_nwucla.py', options)[-1][1]
    with pytest.raises(UserError, match='in_channels is 3, but .* with this alignment and stream gives 12'):
        complete(cfg)


def test_canonical_names_of_an_own_layout_reach_the_model(tiny_kinect_store):
    """They decide which joint is the head. The hash of a run does not repeat them: that of the data has them."""
    layout = SkeletonStore(tiny_kinect_store).layout
    names = {joint: name for name, joint in layout.named.items()}
    made = layout_config(get_layout({**layout.fields(), 'name': 'mine', 'joints': [f'joint{i}' for i in range(20)],
                                     'canonical': [names[i] for i in range(20)]}))
    assert get_layout(made).named == layout.named
    spec = RunSpec(dict(data_preprocessor=dict(layout=made)), {}, {}, {'custom_hooks': []}, 0, {})
    keys = spec.decisive()
    assert 'model.data_preprocessor.layout.name' in keys and not any('canonical' in key for key in keys)
