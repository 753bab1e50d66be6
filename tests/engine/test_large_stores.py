"""Options for stores that are too large for a cache or for memory: ``data.preprocess`` and ``data.shuffle``."""
import json
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmskelssl.datasets import SkeletonDataset, SkeletonStore, cache_or_batch
from mmskelssl.engine import shuffle
from mmskelssl.engine import train as train_module
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.hooks import NonFiniteHook, checkpoint_hook
from mmskelssl.engine.rebuild import build_dataset
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.shipped import find_config

SHARDS = {f'train_dataloader.sampler.{key}': value
          for key, value in dict(type='ShardSampler', window=2, shard_mb=.05).items()}


def completed(config: str, options: dict):
    return complete(load_config(config, options)[-1][1])


def weights(path: str) -> dict:
    return load_checkpoint(path)['state_dict']


def test_a_run_with_each_batch_preprocessed(own_config, tiny_store, tmp_path, monkeypatch, capfd):
    """It learns the same and has the same hash; the curves and later evaluations need no cache, either."""
    store = shutil.copytree(tiny_store, tmp_path / 'tiny', ignore=shutil.ignore_patterns('cache'))
    config = own_config(f'data["store"] = "{store}"\n')
    with monkeypatch.context() as patch:
        patch.setattr(train_module, 'get_device', lambda: 'cuda')  # so that the preprocessor gets clips as stored
        made = train(config, str(tmp_path / 'batch'), cfg_options={'data.preprocess': 'batch'})
    assert not (store / 'cache').exists()
    cached = train(config, str(tmp_path / 'cache'))
    output = ''.join(capfd.readouterr())
    assert f'clips of {store}: preprocessed per batch (as in data.preprocess)' in output
    assert f'clips of {store}: read from the cache (' in output
    torch.testing.assert_close(weights(made), weights(cached), rtol=1e-4, atol=1e-5)
    infos = [load_checkpoint(path)['meta']['mmskelssl'] for path in (made, cached)]
    assert infos[0]['config_hash'] == infos[1]['config_hash'] and 'preprocess' not in json.loads(infos[0]['dataset'])
    monkeypatch.setattr(cache_or_batch, 'LARGEST', 0)
    shutil.rmtree(store / 'cache')
    data = build_dataset({**json.loads(infos[0]['dataset']), 'preprocess': 'cache'}, 'test', made)
    assert data.preprocess == 'batch' and not (store / 'cache').exists()  # decided here, not by the file


def test_the_sampler_follows_from_the_size_of_the_store(own_config, monkeypatch):
    config = own_config()
    cfg, spec = completed(config, {})
    assert cfg.train_dataloader.sampler == shuffle.USUAL
    assert completed(config, SHARDS)[0].train_dataloader.sampler.window == 2
    cfg, other = completed(config, {'data.shuffle': 'shards'})
    assert cfg.train_dataloader.sampler == dict(type='ShardSampler') and 'shuffle' not in cfg.evaluation
    assert 'train_dataloader.sampler.type was DefaultSampler and is ShardSampler' in other.differences(spec.meta())
    monkeypatch.setattr(shuffle, 'LARGE', 0)
    large = completed(config, {})[1]
    assert large.hash == other.hash
    twice = complete(cfg)
    assert twice[0]._cfg_dict == cfg._cfg_dict and twice[1].hash == large.hash
    assert completed(config, {'data.shuffle': 'full'})[1].hash == spec.hash


@pytest.mark.parametrize('options, message', [
    ({'train_dataloader.sampler.type': 'ShardSampler', 'train_dataloader.sampler.shuffle': False}, 'always shuffles'),
    ({'data.shuffle': 'none'}, "data.shuffle is 'none'; it must be 'auto', 'full' or 'shards'"),
    ({'data.shuffle': 'full', **SHARDS}, "data.shuffle is 'full', but train_dataloader.samp"),
    ({'data.preprocess': 'disk'}, "data.preprocess is 'disk'")])
def test_contradictions_are_refused(own_config, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(own_config(), str(tmp_path / 'w'), cfg_options=options)


def test_a_pool_has_its_own_order(pool_options):
    message = 'data.shuffle is not read with data.stores, whose weights decide what is drawn'
    with pytest.raises(UserError, match=message):
        completed(find_config('simclr_toy'), {**pool_options, 'data.shuffle': 'shards'})


def test_a_stopped_run_goes_on_in_the_middle_of_an_epoch(own_config, tmp_path, monkeypatch, capfd):
    config, options = own_config(), {**SHARDS, 'train_dataloader.batch_size': 8, 'default_hooks.knn': None}
    straight = weights(train(config, str(tmp_path / 'straight'), cfg_options=options))
    assert 'order of the clips: shuffled within windows of 2 shards' in ''.join(capfd.readouterr())
    with monkeypatch.context() as patch:  # stopped after two batches of the second epoch
        patch.setattr(checkpoint_hook, 'stop_requested', lambda step: signal.SIGTERM if step == 5 else 0)
        with pytest.raises(SystemExit):
            train(config, str(tmp_path / 'stopped'), cfg_options=options)
    resumed = weights(train(config, str(tmp_path / 'stopped'), 'auto', cfg_options=options))
    assert all(torch.equal(value, resumed[key]) for key, value in straight.items())


def test_a_clip_without_a_body_stops_a_run_on_a_device(tiny_store, tmp_path):
    """It is NaN there, and the hook names it when the loss is NaN, too."""
    store = shutil.copytree(tiny_store, tmp_path / 'tiny', ignore=shutil.ignore_patterns('cache'))
    opened = SkeletonStore(store)
    first = sum(opened.keypoints(i)[..., 0, 0].size for i in range(2))  # of the rows of the third clip
    np.load(store / 'keypoints.npy', mmap_mode='r+')[first:first + opened.keypoints(2)[..., 0, 0].size] = 0
    pipeline = [dict(type='SelectPersons'), dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]
    data = SkeletonDataset(store, 'train', pipeline, preprocess='batch')
    with pytest.raises(UserError, match='sample clip002: every coordinate is zero'):
        data.__getitems__([1, 2, 3])
    data.defer()
    runner = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=data), work_dir=str(tmp_path), rank=0)
    with pytest.raises(UserError, match='the clips of clip002 are not finite: repair or leave them out'):
        NonFiniteHook._stop(runner, 0, data.__getitems__([1, 2, 3]), torch.tensor(float('nan')))
