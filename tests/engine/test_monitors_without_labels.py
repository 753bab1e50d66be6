"""A store without labels and without a test split: held-out clips, the monitors' curves, and the alarm."""
import json

import numpy as np
import pytest
import torch

from mmskelssl.datasets.skeleton_dataset import SkeletonDataset
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import MAX_HELD_OUT, complete, load_config
from mmskelssl.engine.hooks import knn_hook
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.registry import DATASETS, MODELS

CURVES = {'val/feature_std', 'val/mean_cosine', 'val/effective_rank', 'val/batch_top1'}


@pytest.fixture
def bare_store(tiny_store, tmp_path):
    """A store of 160 clips without labels in one split, made of four copies of the toy clips."""
    source = SkeletonStore(tiny_store)
    with StoreWriter(tmp_path / 'bare', 'ntu25') as writer:
        names = []
        for i in range(160):
            names.append(f'clip{i:03d}')
            writer.add(names[-1], np.array(source.keypoints(i % len(source.ids))) * (1 + i / 500))
        writer.set_split('train', names)
    return str(tmp_path / 'bare')


@pytest.fixture
def config(own_config, bare_store):
    def write(text=''):
        return own_config(f"data['store'] = {bare_store!r}\ntrain_cfg = dict(max_epochs=1)\n{text}")
    return write


def completed(path: str, **options):
    return complete(load_config(path, options)[-1][1])


def test_a_tenth_is_held_out(config):
    cfg, spec = completed(config())
    assert cfg.train_dataloader.dataset.held_out == cfg.evaluation.held_out == spec.data['held_out'] == 16
    assert 'held_out' not in spec.dataset  # a probe may learn from all clips
    rest = DATASETS.build(cfg.train_dataloader.dataset)
    kept = DATASETS.build(dict(cfg.train_dataloader.dataset, part='held_out'))
    assert (len(rest), len(kept)) == (144, 16) and not set(rest.ids) & set(kept.ids)
    assert kept.ids[0] == 'clip000' and kept.ids[-1] == 'clip159'
    again, same = complete(cfg)
    assert again._cfg_dict == cfg._cfg_dict and same == spec


def test_the_number_is_an_option_and_decides_the_result(config, own_config):
    spec = completed(config())[1]
    cfg, other = completed(config('data["held_out"] = 0\n'))
    assert 'held_out' not in cfg.train_dataloader.dataset and cfg.evaluation.test_split is None
    assert other.differences(spec.meta()) == ['data.held_out was 16 and is 0']
    with pytest.raises(UserError, match=r'data.held_out is 160; it must be an integer from 0 to 159'):
        DATASETS.build(completed(config('data["held_out"] = 160\n'))[0].train_dataloader.dataset)
    assert 'held_out' not in completed(own_config())[0].data and MAX_HELD_OUT == 256  # there is a test split


@DATASETS.register_module()
class PlainClips(SkeletonDataset):
    """A custom data set that does not support held-out clips."""

    def __init__(self, store, split, pipeline, cache_dir=None):
        super().__init__(store, split, pipeline, cache_dir)


@pytest.mark.slow
@pytest.mark.parametrize('text, held', [('', 16), ('data["held_out"] = 0\n', 0), ('data["type"] = "PlainClips"\n', 0)])
def test_the_curves(config, tmp_path, text, held):
    """They are measured before the first step and after the last, on training clips if nothing is held out."""
    train(config(text), str(tmp_path / 'work'))
    lines = [json.loads(line) for line in next((tmp_path / 'work').rglob('scalars.json')).open()]
    measured = [line for line in lines if 'val/feature_std' in line]
    assert [line['step'] for line in measured] == [0, (160 - held) // 16]
    assert all({key for key in line if key.startswith('val/')} == CURVES for line in measured)
    assert all(0 <= line['val/batch_top1'] <= 100 and 1 <= line['val/effective_rank'] <= 16 for line in measured)
    log = next((tmp_path / 'work').rglob('*.log')).read_text()
    assert (f'{held} training clips that are held out' if held else 'clips that are trained on') in log


def test_a_collapse_is_noticed(config, tmp_path, monkeypatch):
    """The encoder gives the same features for every clip."""
    monkeypatch.setattr(MODELS.get('SkeletonCLR'), 'extract_feat',
                        lambda self, inputs, num_frames=None: inputs.new_ones(len(inputs), 16))
    train(config("default_hooks = dict(knn=dict(interval=1, patience=1))\n"), str(tmp_path / 'work'))
    assert 'COLLAPSE ALARM: different clips look alike' in next((tmp_path / 'work').rglob('*.log')).read_text()


@pytest.mark.slow
def test_monitors_change_no_weight(config, tmp_path):
    """Their views are drawn independently of those of training."""
    with_it, without = (load_checkpoint(train(config(text), str(tmp_path / name)))['state_dict'] for name, text in dict(
        a='', b='default_hooks = dict(knn=None)\n').items())
    assert all(torch.equal(value, without[key]) for key, value in with_it.items())


def test_views_find_their_own_clip(config):
    """It is 100 % if the features identify the clips, chance if they are noise, and NaN without two views."""
    noise = "[dict(type='GaussianNoise', p=1, std=1e-4)]"
    views = f'dict(data_preprocessor=dict(views=dict(query={noise}, key={noise})))'
    cfg = completed(config(f'model = {views}\n'))[0]
    clips = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(0)

    def top1(feature):
        model.extract_feat = feature
        return knn_hook.view_top1(model, clips, 16)
    assert top1(lambda x, frames=None: torch.randn(len(x), 8, generator=generator)) < 30
    kept = model.data_preprocessor._generator
    assert top1(lambda x, frames=None: x.flatten(1)) == 100
    assert model.data_preprocessor._generator is kept and model.training
    assert np.isnan(knn_hook.view_top1(model, clips, 200))  # less than one batch
    model.data_preprocessor.views = dict(clip=model.data_preprocessor.views['key'])
    model.data_preprocessor.active = dict(clip=(0,))
    assert np.isnan(knn_hook.view_top1(model, clips, 16))
