"""``data.scores=True``: from a 2D store with scores to trained encoders, features and errors."""
import json

import numpy as np
import pytest
import torch

from mmskelssl.commands.clip_sources import json_lines
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.attention import masks_of
from mmskelssl.evaluation.features import extract_features
from mmskelssl.inference.encoder import build_encoder, coordinates, pair_with_data
from mmskelssl.inference.extractor import FeatureExtractor

CONFIG = 'configs/skeletonclr_pose2d.py'
SMALL = {'train_dataloader.batch_size': 16, 'train_cfg.max_epochs': 2, 'model.backbone.hidden_channels': 4,
         'model.backbone.out_channels': 16}


def write(path, scored: bool, zeros: bool = False) -> str:
    """40 clips of COCO-17 poses. One joint in ten is not seen: score 0, at the origin."""
    rng = np.random.default_rng(0)
    with StoreWriter(path, 'coco17', 2, 'px', ['a', 'b'], scores=scored) as writer:
        for i in range(40):
            clip = rng.uniform(100, 200, (1, 12, 17, 2)).cumsum(1) / 12
            scores = rng.uniform(.3, 1, (1, 12, 17)) * (rng.random((1, 12, 17)) > .1)
            writer.add(f'c{i:02d}', clip * (scores > 0)[..., None], i % 2, scores=scores if scored else None)
        writer.set_split('train', [f'c{i:02d}' for i in range(32)])
        writer.set_split('test', [f'c{i:02d}' for i in range(32, 40)])
    return str(path)


@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scored')
    return {name: write(folder / name, name == 'scored') for name in ('scored', 'plain')}


@pytest.fixture(scope='module')
def checkpoint(stores, tmp_path_factory):
    return train(CONFIG, str(tmp_path_factory.mktemp('run')), cfg_options={
        **SMALL, 'data.store': stores['scored'], 'data.scores': True})


def completed(store, **options):
    return complete(load_config(CONFIG, {'data.store': store, **options})[-1][1])


def test_the_config_counts_the_channel(stores):
    plain, scored = (completed(stores['scored'], **options) for options in ({}, {'data.scores': True}))
    assert (plain[0].model.backbone.in_channels, scored[0].model.backbone.in_channels) == (2, 3)
    assert scored[0].model.data_preprocessor.scores and 'scores' not in plain[0].model.data_preprocessor
    assert plain[1].hash != scored[1].hash and scored[1].decisive()['data.scores'] is True
    assert scored[1].dataset['scores'] is True
    again, same = complete(scored[0])  # a config that is already complete
    assert again._cfg_dict == scored[0]._cfg_dict and same == scored[1]
    both = completed(stores['scored'], **{'data.scores': True, 'model.data_preprocessor.velocity': True})
    assert both[0].model.backbone.in_channels == 5


@pytest.mark.parametrize('options, message', [
    ({'data.scores': True, 'model.data_preprocessor.scores': False}, 'data_preprocessor.scores is not read'),
    ({'model.data_preprocessor.scores': True}, 'data_preprocessor.scores is not read'),
    ({'data.scores': 1}, 'data.scores is 1; it must be True or False'),
    ({'data.scores': True, 'model.backbone.in_channels': 2}, 'in_channels is 2, but .* gives 3')])
def test_contradictions(stores, options, message):
    with pytest.raises(UserError, match=message):
        completed(stores['scored'], **options)


def test_a_store_without_scores(stores, checkpoint):
    with pytest.raises(UserError, match=r'data\.scores is True, but .*plain has no scores') as error:
        completed(stores['plain'], **{'data.scores': True})
    assert '\n' not in str(error.value)
    with pytest.raises(UserError, match=r'plain has no scores, but .* was trained with data\.scores=True'):
        pair_with_data(checkpoint, *build_encoder(checkpoint), stores['plain'])


def test_a_method_on_coordinates_refuses_before_training(stores, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = 'mmskelssl::crrlreconstruct_nwucla.py'\ndata = dict(store={stores['scored']!r})\n")
    with pytest.raises(UserError, match='CRRLReconstruct works on coordinates only: leave out data.scores'):
        complete(load_config(str(path), {'data.scores': True})[-1][1])


def test_features_of_a_trained_encoder(stores, checkpoint):
    weights = load_checkpoint(checkpoint)['state_dict']
    assert weights['backbone.blocks.0.gcn.conv.weight'].shape[1] == 3
    encoder = pair_with_data(checkpoint, *build_encoder(checkpoint))
    assert encoder.model.data_preprocessor.scores and coordinates(encoder.model, checkpoint) == 2
    dataset = encoder.dataset('test')
    assert dataset[0]['inputs'].shape == (3, 64, 17, 1)
    found = extract_features(encoder.model, dataset, progress=False)
    assert len(found.feats) == 8 and np.isfinite(found.feats).all()
    changed = dataset.clips = np.array(dataset.clips)
    changed[:, 2] *= 100
    other = extract_features(encoder.model, dataset, progress=False)
    assert np.abs(other.feats - found.feats).max() > 1e-4  # the encoder uses them


def test_motion_energy_leaves_the_scores_out(stores, checkpoint):
    encoder = pair_with_data(checkpoint, *build_encoder(checkpoint))
    encoder.model.attention_map = lambda clips: torch.ones(len(clips), 1, 4, 17)
    dataset = encoder.dataset('test')
    _, energy = masks_of(encoder.model, dataset, [0, 1])
    dataset.clips = np.array(dataset.clips)
    dataset.clips[:, 2] = np.random.default_rng(1).random(dataset.clips[:, 2].shape)
    assert torch.equal(masks_of(encoder.model, dataset, [0, 1])[1], energy)


def test_the_scores_of_a_store_reach_the_pictures_of_views(stores):
    from mmskelssl.visualization.views import ViewSteps
    cfg = load_config(CONFIG)[-1][1]
    cfg.data.pipeline.insert(0, dict(type='FillUnseen', score=.2))
    rows = ViewSteps(SkeletonStore(stores['scored']), cfg, CONFIG).rows(0)
    assert len(rows) == 3 and rows[0].panels[-1].keypoints.shape[-1] == 2


def with_scores(store, split='test'):
    """Clips (M, T, V, 3) of a store: x, y, score."""
    store = SkeletonStore(store)
    return [np.concatenate([store.keypoints(i), store.scores(i)[..., None]], -1) for i in store.split(split)]


def test_clips_in_memory(stores, checkpoint, tmp_path):
    extractor = FeatureExtractor(checkpoint, 'cpu')
    assert extractor.scores and extractor.channels == 2
    expected = extractor.of_store(split='test')
    found = extractor(with_scores(stores['scored']))
    np.testing.assert_allclose(found, expected.feats, rtol=1e-4, atol=1e-6)
    extractor.save_pretrained(tmp_path / 'saved')
    again = FeatureExtractor.from_pretrained(tmp_path / 'saved', 'cpu')
    np.testing.assert_array_equal(again(with_scores(stores['scored'])), found)
    np.testing.assert_allclose(again.of_store(stores['scored'], 'test').feats, expected.feats, rtol=1e-4, atol=1e-6)


def test_clips_in_memory_without_scores(stores, checkpoint):
    extractor = FeatureExtractor(checkpoint, 'cpu')
    lines = [json.dumps(clip.tolist()) for clip in with_scores(stores['scored'])]
    read, = json_lines(lines, extractor)
    np.testing.assert_array_equal(extractor(read), extractor(with_scores(stores['scored'])))
    with pytest.raises(UserError, match=r'clip 0 has shape \(1, 12, 17, 2\), expected \(T, 17, 3\).*by the score'):
        extractor([clip[..., :2] for clip in with_scores(stores['scored'])])
    with pytest.raises(UserError, match=r'plain has no scores, but .* was trained with data\.scores=True'):
        extractor.of_store(stores['plain'])


def test_an_encoder_without_the_channel_takes_coordinates(stores, tmp_path):
    extractor = FeatureExtractor(train(CONFIG, str(tmp_path), cfg_options={
        **SMALL, 'data.store': stores['scored'], 'train_cfg.max_epochs': 1}), 'cpu')
    assert not extractor.scores
    with pytest.raises(UserError, match=r'shape \(1, 12, 17, 3\), expected \(T, 17, 2\)'):
        extractor(with_scores(stores['scored']))
    assert extractor.of_store(stores['plain'], 'test').feats.shape == extractor.of_store(split='test').feats.shape
