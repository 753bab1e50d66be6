"""The description of a run: complete configs, their hashes, and the differences from the run of a checkpoint."""
import copy
import json

import pytest
import torch

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.run_spec import VERSION, refuse_changes
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError

CURRICULUM = '''
default_hooks = dict(
    curriculum=dict(type='AugmentCurriculumHook', core=('Shear', ), phases=[dict(begin=1, keep=dict(query=1))]))
'''


def described(config: str, seed=None, launcher='none', **options):
    cfg = load_config(config, {key.replace('__', '.'): value for key, value in options.items()})[-1][1]
    cfg.launcher = launcher
    return complete(cfg, seed)[1]


def test_completing_twice_gives_the_same_and_leaves_its_input_alone(own_config):
    for resident in (None, 'device'):
        cfg = load_config(own_config(f'{CURRICULUM}data["resident"] = {resident!r}\n'), {})[-1][1]
        before = copy.deepcopy(cfg._cfg_dict)
        once, spec = complete(cfg, 3)
        assert cfg._cfg_dict == before
        twice, again = complete(once)
        assert twice._cfg_dict == once._cfg_dict and again == spec and again.hash == spec.hash


def test_a_loader_is_not_overridden_in_silence(own_config):
    text = 'train_dataloader = dict(batch_size=16, {})\n'.format
    with pytest.raises(UserError, match='train_dataloader.dataset is not read: `data` describes the data set'):
        described(own_config(text("dataset=dict(type='Mine')")))
    cfg = load_config(own_config(text("collate_fn=dict(type='mine')")))[-1][1]
    assert complete(cfg)[0].train_dataloader.collate_fn == dict(type='mine')


def test_none_is_not_the_default(own_config):
    """AimCLR drops by default, but not with ``drop_keep=None``. A resumed run must detect this difference."""
    spec = described(own_config('model["drop_keep"] = None\n', base='aimclr_toy'))
    assert described(own_config(base='aimclr_toy')).differences(spec.meta()) == [
        'model.drop_keep was None and is absent']


def test_what_decides_a_result_changes_the_hash(own_config, monkeypatch):
    config = own_config(CURRICULUM)
    spec = described(config)
    assert spec.hash.startswith(f'v{VERSION}-') and spec.hash == described(config).hash
    changes = dict(
        sync_bn=None, seed=1, model__temperature=.3, data__pipeline__2__frames=20, train_dataloader__batch_size=8,
        optim_wrapper__optimizer__lr=.5, param_scheduler__0__end=40, train_cfg__max_epochs=3,
        default_hooks__curriculum=None, default_hooks__curriculum__phases__0__begin=0)
    for key, value in changes.items():
        other = described(config, **{key: value})
        named = 'randomness.seed' if key == 'seed' else key.replace('__', '.')
        lines = other.differences(spec.meta())
        assert other.hash != spec.hash and lines and all(line.startswith(named) for line in lines), (key, lines)
    monkeypatch.setenv('WORLD_SIZE', '2')
    other = described(config, launcher='pytorch')
    assert other.hash != spec.hash and other.differences(spec.meta()) == ['world_size was 1 and is 2']


def test_what_decides_nothing_does_not(own_config, tiny_store, tmp_path):
    """Monitors, logs and checkpoints; the location of the data, and how they are read."""
    config = own_config(CURRICULUM)
    spec = described(config)
    (tmp_path / 'link').symlink_to(tiny_store)
    for key, value in dict(
            default_hooks__knn__interval=1, default_hooks__knn__k=[3], default_hooks__knn=None,
            default_hooks__logger__interval=1, default_hooks__progress_bar=None, default_hooks__checkpoint__interval=1,
            data__store=str(tmp_path / 'link'), data__cache_dir=str(tmp_path), data__resident='device',
            data__prepare='make', train_dataloader__num_workers=2,
            randomness__deterministic=True, log_level='ERROR', log_processor__window_size=3).items():
        other = described(config, **{key: value})
        assert other.differences(spec.meta()) == [] and other.hash == spec.hash, key
    loader = 'train_dataloader = dict(batch_size=16, num_workers=2, pin_memory=True, persistent_workers=True)\n'
    assert described(own_config(CURRICULUM + loader)).hash == spec.hash


def test_the_meta_of_a_spec_is_read_back(own_config):
    spec = described(own_config(CURRICULUM))
    info = json.loads(json.dumps(spec.meta()))
    assert (info['spec_version'], info['config_hash'], info['world_size']) == (VERSION, spec.hash, 1)
    assert json.loads(info['model']) == spec.model and info['data_hash'] == spec.data['data_hash']
    assert set(json.loads(info['dataset'])) == {'store', 'pipeline', 'train_split', 'test_split', 'about'}
    assert spec.differences(info) == []


def first_version(spec) -> dict:
    """Version 1 of the description of this run: nested, a list of method hooks, paths and workers, no ``sync_bn``."""
    data = {key: value for key, value in spec.data.items() if key in ('pipeline', 'prepare', 'split')}
    decisive = dict(
        model=spec.model, data=dict(data, store='elsewhere'), **spec.schedule, method_hooks=[
            dict(type='AugmentCurriculumHook', core=['Shear'], phases=[dict(begin=1, keep=dict(query=1))])],
        randomness=dict(seed=spec.seed, diff_rank_seed=True))
    decisive['train_dataloader'] = dict(decisive['train_dataloader'], num_workers=7)
    del decisive['auto_scale_lr']
    return dict({key: value for key, value in spec.meta().items() if key != 'spec_version'},
                config_hash='0123456789abcdef', decisive=json.dumps(decisive))


def test_a_description_of_the_first_version(own_config):
    config = own_config(CURRICULUM)
    spec = described(config)
    old = first_version(spec)
    assert spec.differences(old) == [] and described(config, sync_bn=None).differences(old) == []
    assert described(config, default_hooks__curriculum__phases__0__begin=2).differences(old) == [
        'default_hooks.curriculum.phases.0.begin was 1 and is 2']
    assert described(config, default_hooks__curriculum=None).differences(old)[0].startswith(
        'default_hooks.augment_curriculum.core.0 was Shear and is absent')
    assert described(config, optim_wrapper__optimizer__lr=.5).differences(old) == [
        'optim_wrapper.optimizer.lr was 0.001 and is 0.5']
    assert spec.differences(dict(old, world_size=2, data_hash='x')) == [
        f'data.data_hash was x and is {spec.data["data_hash"]}', 'world_size was 2 and is 1']


@pytest.mark.parametrize('info, message', [
    (dict(decisive='{'), 'JSONDecodeError'), (dict(decisive='[1]'), 'TypeError'), (dict(decisive=3), 'TypeError'),
    (dict(decisive='[' * 100_000), 'RecursionError'), (dict(decisive='{"method_hooks": [1]}'), 'AttributeError'),
    (dict(decisive='{}', spec_version=VERSION + 1), 'a newer one is needed')])
def test_a_description_that_is_none(own_config, info, message):
    spec = described(own_config())
    with pytest.raises(UserError, match=f'a.pth: the description of its run cannot be read .*{message}'):
        refuse_changes('a.pth', dict(meta=dict(mmskelssl=info)), spec, allow=True)


def test_many_differences_are_one_readable_line(own_config):
    spec = described(own_config())
    then = dict(spec.meta(), decisive=json.dumps({f'key{i:02d}': i for i in range(30)}))
    with pytest.raises(UserError, match=r'was written by a different run: .*; and \d+ more. Undo the change, or add'):
        refuse_changes('a.pth', dict(meta=dict(mmskelssl=then)), spec, allow=False)
    assert refuse_changes('a.pth', dict(meta={}), spec, allow=False) == []  # from another program: nothing to compare


@pytest.mark.slow
def test_a_run_of_the_first_version_is_resumed(own_config, tmp_path):
    """Its result is bit-identical to that of the undisturbed run. A changed run is refused."""
    config, work = own_config(CURRICULUM), tmp_path / 'work'
    options = {'default_hooks.checkpoint.interval': 1}
    straight = load_checkpoint(train(config, str(work), cfg_options=options))
    (work / 'epoch_2.pth').unlink()
    checkpoint = torch.load(work / 'epoch_1.pth', weights_only=True)
    checkpoint['meta']['mmskelssl'].update(first_version(described(config)))
    del checkpoint['meta']['mmskelssl']['spec_version']
    torch.save(checkpoint, work / 'epoch_1.pth')
    (work / 'manifest.json').unlink()
    with pytest.raises(UserError, match='curriculum.phases.0.begin was 1 and is 0'):
        train(config, str(work), resume='auto',
              cfg_options={**options, 'default_hooks.curriculum.phases.0.begin': 0})
    resumed = load_checkpoint(train(config, str(work), resume='auto', cfg_options=options))
    for key, value in straight['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][key]), key
    assert resumed['meta']['mmskelssl']['spec_version'] == VERSION
