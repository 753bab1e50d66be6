"""``randomness`` in a config is merged with the defaults, overridden by ``--seed``, and makes runs deterministic."""
import argparse

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmskelssl.commands.train import add_arguments
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, complete_randomness, load_config
from mmskelssl.engine.randomness import own_algorithms
from mmskelssl.engine.train import _explain_crash, train
from mmskelssl.errors import UserError
from mmskelssl.registry import HOOKS


@pytest.mark.parametrize('given, seed, expected', [
    (None, None, (0, False)), ({}, None, (0, False)), (dict(seed=3), None, (3, False)), (dict(seed=3), 0, (0, False)),
    (dict(seed=None), None, (0, False)), (dict(seed=3, deterministic=True), 5, (5, True)),
    (dict(deterministic=True), None, (0, True))])
def test_the_seed_that_counts(given, seed, expected):
    cfg = Config(dict(randomness=given))
    complete_randomness(cfg, seed)
    assert (cfg.randomness.seed, cfg.randomness.deterministic, cfg.randomness.diff_rank_seed) == (*expected, True)


@pytest.mark.parametrize('given, message', [
    (3, 'randomness is 3'), (dict(sed=3), 'randomness.sed does not exist; there are seed'),
    (dict(seed=-1), 'the seed is -1'), (dict(seed='x'), "the seed is 'x'"), (dict(seed=True), 'the seed is True'),
    (dict(seed=2 ** 32), 'from 0 to 4294967295'), (dict(deterministic=1), 'deterministic is 1; it must be True or')])
def test_mistakes(given, message):
    with pytest.raises(UserError, match=message):
        complete_randomness(Config(dict(randomness=given)))


def test_the_seed_reaches_model_preprocessor_and_checkpoint(own_config):
    cfg, spec = complete(load_config(own_config('randomness = dict(seed=3, deterministic=True)\n'))[-1][1])
    assert cfg.randomness == dict(seed=3, deterministic=True, diff_rank_seed=True)
    assert cfg.model.data_preprocessor.seed == spec.seed == spec.meta()['seed'] == 3


def test_the_tool_leaves_the_seed_to_the_config():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for arguments, seed in (([], None), (['--seed', '0'], 0)):
        assert parser.parse_args(['configs/skeletonclr_toy.py', *arguments]).seed == seed


@HOOKS.register_module(force=True)
class AlgorithmsHook(Hook):
    seen: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic))


@pytest.mark.slow
def test_two_deterministic_runs_are_equal_to_the_bit(own_config, tmp_path):
    """Their choice of algorithms does not outlive them."""
    config = own_config("randomness = dict(seed=3, deterministic=True)\ncustom_hooks = [dict(type='AlgorithmsHook')]\n")
    AlgorithmsHook.seen.clear()
    a, b = (load_checkpoint(train(config, str(tmp_path / name))) for name in 'ab')
    assert AlgorithmsHook.seen == 8 * [(True, True)]
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.deterministic
    assert all(torch.equal(value, b['state_dict'][key]) for key, value in a['state_dict'].items())
    assert a['meta']['mmskelssl']['seed'] == a['meta']['seed'] == 3
    other = load_checkpoint(train(config, str(tmp_path / 'c'), seed=4))
    assert not torch.equal(a['state_dict']['projector.mlp.0.weight'], other['state_dict']['projector.mlp.0.weight'])


def test_algorithms_are_put_back_after_an_error(monkeypatch):
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    with pytest.raises(RuntimeError), own_algorithms(deterministic=True):
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        raise RuntimeError
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark


def test_an_operation_that_cannot_be_deterministic_is_named_in_one_line():
    what = 'cumsum_cuda_kernel does not have a deterministic implementation'
    error = RuntimeError(f"{what}, but you set 'torch.use_deterministic_algorithms(True)'. You can")
    assert _explain_crash(error) == f'randomness.deterministic = True: {what}; train without it'


@pytest.mark.slow
def test_measuring_neighbours_changes_no_weight(own_config, tmp_path):
    """Dropout draws from torch's generator, which a monitor must not change."""
    config = own_config('model["backbone"]["dropout"] = .5\n')
    a, b = (load_checkpoint(train(config, str(tmp_path / name), cfg_options={'default_hooks.knn': value}))['state_dict']
            for name, value in (('a', None), ('b', dict(type='KNNHook', interval=1, k=3))))
    assert all(torch.equal(value, b[key]) for key, value in a.items())
