"""The mistakes in a config are reported by key before anything is built or logged."""
import pytest

from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.signatures import arguments_at
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError

CASES = [
    ('train_cfg = dict(max_epochs=-3)', 'train_cfg.max_epochs: -3 is not an integer of at least 1'),
    ("train_cfg = dict(max_epochs='3')", "train_cfg.max_epochs: '3' is not an integer"),
    ('train_dataloader = dict(batch_size=0)', 'train_dataloader.batch_size: 0 is not an integer of at least 1'),
    ('train_dataloader = dict(num_workers=-1)', 'train_dataloader.num_workers: -1 is not'),
    ('optim_wrapper = dict(accumulative_counts=0)', 'optim_wrapper.accumulative_counts: 0 is not'),
    ('model = dict(temprature=1)', 'model.temprature: SkeletonCLR has no such argument; did you mean temperature?'),
    ('model = dict(backbone=dict(droput=1))', 'model.backbone.droput: STGCN has no such argument; did you mean'),
    ("model = dict(data_preprocessor=dict(views=dict(key=[dict(type='Shear', amplitud=1)])))",
     'model.data_preprocessor.views.key.0.amplitud: Shear has no such argument; did you mean amplitude?'),
    ("data['pipeline'] = [dict(type='ResizeFrames', frame=9), dict(type='PackSkeleton')]",
     'data.pipeline.0.frame: ResizeFrames has no such argument; did you mean frames?'),
    ("data['cache'] = 1", 'data.cache: SkeletonDataset has no such argument; did you mean cache_dir?'),
    ("data['part'] = 'held_out'", 'data.part: SkeletonDataset has no such argument'),
    ("train_dataloader = dict(sampler=dict(shufle=True))", 'train_dataloader.sampler.shufle: DefaultSampler has no'),
    ('train_dataloader = dict(batchsize=3)', 'train_dataloader.batchsize: DataLoader has no such argument'),
    ('optim_wrapper = dict(optimizer=dict(learning_rate=1))', 'optim_wrapper.optimizer.learning_rate: AdamW has no'),
    ('optim_wrapper = dict(clip_gradient=1)', 'optim_wrapper.clip_gradient: OptimWrapper has no such argument'),
    ("param_scheduler = [dict(type='MultiStepLR', milestone=[3])]",
     'param_scheduler.0.milestone: MultiStepLR has no such argument; did you mean milestones?'),
    ('default_hooks = dict(knn=dict(intervall=3))', 'default_hooks.knn.intervall: KNNHook has no such argument'),
    ("visualizer = dict(vis_backends=[dict(type='LocalVisBackend', savedir=1)])",
     'visualizer.vis_backends.0.savedir: LocalVisBackend has no such argument; did you mean save_dir?'),
    ('model = 3', 'model: 3 is not a dict'), ('train_cfg = dict(_delete_=True)', 'train_cfg.max_epochs is missing'),
    ("model = dict(_delete_=True, type='SimCLR')", 'model.backbone is missing; model.data_preprocessor is missing')]


@pytest.mark.parametrize('text, message', CASES, ids=[text[:40] for text, _ in CASES])
def test_by_key(own_config, text, message):
    with pytest.raises(UserError) as error:
        complete(load_config(own_config(text + '\n'))[-1][1])
    assert message in str(error.value) and 'mine.py: ' in str(error.value) and '\n' not in str(error.value)


def test_all_mistakes_at_once(own_config):
    with pytest.raises(UserError, match='max_epochs: 0 is not .*; model.*droput: .*; model.temprature: '):
        complete(load_config(own_config('train_cfg = dict(max_epochs=0)\n'
                                        'model = dict(temprature=1, backbone=dict(droput=0))\n'))[-1][1])


def test_a_renamed_argument(own_config):
    with pytest.raises(UserError, match='model.topk: AimCLR calls it mined now'):
        complete(load_config(own_config('model["topk"] = 3\n', base='aimclr_toy'))[-1][1])


def test_before_anything_is_written(own_config, tmp_path):
    with pytest.raises(UserError, match='model.temprature'):
        train(own_config('model["temprature"] = 3\n'), str(tmp_path / 'work'))
    assert not list((tmp_path / 'work').rglob('*.log'))


@pytest.mark.parametrize('text', ["model['pooling'] = 'nothing'", "model['backbone']['layout'] = 'nothing'"])
def test_what_only_building_finds_is_not_below_the_machine(own_config, tmp_path, capsys, text):
    """The environment and the config are logged after everything is built."""
    with pytest.raises(UserError):
        train(own_config(f'{text}\n'), str(tmp_path / 'work'))
    logs = ''.join(path.read_text() for path in (tmp_path / 'work').rglob('*.log'))
    for output in (logs, ''.join(capsys.readouterr())):
        assert 'System environment' not in output and 'Config:' not in output


def test_the_log_of_a_run_has_the_machine_and_the_config(own_config, tmp_path):
    train(own_config('train_cfg = dict(max_epochs=1)\n'), str(tmp_path / 'work'))
    text = next((tmp_path / 'work').rglob('*.log')).read_text()
    assert text.count('System environment') == 1 and text.count('Config:\n') == 1


@pytest.mark.parametrize('node, inherited', [
    (dict(type='SkeAttnCLR'), {'queue_size', 'projector', 'pooling', 'attention'}),
    (dict(type='LinearLR'), {'start_factor', 'by_epoch', 'convert_to_iter_based'}),
    (dict(type='mmskelssl.KNNHook'), {'interval', 'priority'}), (dict(type='AdamW'), {'lr', 'betas'})])
def test_inherited_arguments(node, inherited):
    found = arguments_at('anywhere', node)
    assert inherited <= set(found.owners) and not found.open


def test_what_is_not_known_is_left_to_the_builder():
    assert 'anything' in arguments_at('anywhere', dict(type='Nowhere'))
    assert 'anything' in arguments_at('anywhere', dict(type='mmengine.CheckpointHook'))  # passes the rest to torch.save
    assert arguments_at('model.projector', {}) is None
