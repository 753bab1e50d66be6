"""Names from files are never paths, markup, terminal codes or formulas, and labels and features are numbers."""
import json
import os

import numpy as np
import pytest
import torch
from hostile import DATASET, content, save
from runs import ROOT
from test_hostile_files import refused

from mmskelssl.commands.masks import attention
from mmskelssl.commands.measure import ensemble_checkpoints, evaluate_checkpoints, evaluate_with_config
from mmskelssl.datasets.store.columns import write_columns
from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.evaluation.knn import knn_classify
from mmskelssl.evaluation.linear import linear_probe
from mmskelssl.evaluation.pictures import draw_errors
from mmskelssl.evaluation.recipes import LINEAR
from mmskelssl.evaluation.results import print_table
from mmskelssl.evaluation.retrieval import retrieve

NAMES = ['../../out', '/tmp/out', '..', 'a/../../b', 'a\\b', '[bold red]x[/]', '[/]', '\x1b[2J\x1b]0;owned\x07',
         '$\\frac$', 'a' * 300, 'con\tx', 'é', '-rf']


def everything(folder):
    return {os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names}


@pytest.fixture
def named_store(own_store):
    """Return the tiny store with other names for its splits and classes."""
    def rename(split: str, classes: list[str]) -> str:
        file = f'{own_store}/index.json'
        with open(file) as stream:
            index = json.load(stream)
        index['splits'] = {f'{split}_train': index['splits']['train'], f'{split}_test': index['splits']['test']}
        index['classes'] = classes
        with open(file, 'w') as stream:
            json.dump(index, stream)
        write_columns(own_store, index)
        return own_store
    return rename


@pytest.mark.fault('F33', 'splits, classes, methods and scores whose names are paths, markup, control codes or '
                   'formulas')
@pytest.mark.parametrize('name', NAMES)
def test_names_of_a_store(tmp_path, named_store, name, capsys, lost):
    store = named_store(name, [f'{name}{i}' for i in range(4)])
    checkpoint, out = save(tmp_path / 'a.pth', store), tmp_path / 'eval' / 'deep' / 'out'
    before = everything(tmp_path)
    if not name.isprintable():
        with pytest.raises(UserError, match='is not a valid name'):
            evaluate_checkpoints([checkpoint], ['knn'], str(out), device='cpu')
        assert everything(tmp_path) == before
        return
    evaluate_checkpoints([checkpoint], ['knn'], str(out), device='cpu', recipes=['1nn'],
                         pairs=[f'{name}_train:{name}_test'])
    made = {path for path in everything(tmp_path) - before if not path.startswith('store/cache/')}
    assert made and all(path.startswith('eval/deep/out/') for path in made), made
    shown = capsys.readouterr().out
    assert '\x1b' not in shown and '\x07' not in shown and ('[bold red]' in shown or 'bold' not in name)
    lost('nothing')


@pytest.mark.fault('F33', 'splits, classes, methods and scores whose names are paths, markup, control codes or '
                   'formulas')
@pytest.mark.parametrize('name', NAMES)
def test_names_in_pictures_tables_and_messages(tmp_path, name, capsys, lost):
    draw_errors(str(tmp_path / 'a.png'), np.array([0, 1]), np.array([0, 1]), [name, name], name)
    row = dict(encoder=name, method=name, backbone=name, data=name, stream=name, split=name, protocol='knn',
               recipe='1nn', top1=5., ci95=[4., 6.], epoch=3)
    print_table([row])

    @one_line_errors
    def tool():
        raise UserError(f'{name}: wrong')
    with pytest.raises(SystemExit):
        tool()
    printed = capsys.readouterr()
    assert '\x1b' not in printed.out + printed.err and len(printed.err.splitlines()) == 1
    lost('nothing')


@pytest.mark.fault('F33', 'splits, classes, methods and scores whose names are paths, markup, control codes or '
                   'formulas')
def test_attention_writes_into_its_folder(tmp_path, tiny_store, lost):
    """The name of the method becomes the name of the picture."""
    path = save(tmp_path / 'a.pth', tiny_store, method='../../made')
    with pytest.raises(UserError, match='method is not a name'):
        attention([path], str(tmp_path / 'x' / 'y' / 'out'))
    assert not any('made' in name for name in everything(tmp_path))
    lost('nothing')


@pytest.mark.fault('F33', 'splits, classes, methods and scores whose names are paths, markup, control codes or '
                   'formulas')
@pytest.mark.parametrize('row', [
    '[' * 100_000, '{"stream": ["a"]}', '{"split": "../../x", "stream": "\\u001b[2J"}', '{"label_fraction": "1"}', '[]',
    '{"seconds": "a"}', '{"protocol": 5}', '1' * 10_000])
def test_files_of_scores(tmp_path, row, lost):
    arrays = dict(ids=np.array(['a', 'b']), scores=np.eye(2, dtype=np.float32), labels=np.arange(2))
    for name, text in (('a', row), ('b', '{}')):
        np.savez(tmp_path / f'{name}.npz', **arrays, row=text)
    with pytest.raises(UserError, match='a.npz') as caught:
        ensemble_checkpoints([str(tmp_path / f'{name}.npz') for name in 'ab'], str(tmp_path / 'out'))
    assert '\n' not in str(caught.value) and not (tmp_path / 'out').exists()
    lost('nothing')


@pytest.mark.fault('F34', 'labels 1.5, true and -7; features of 1e30 in every probe')
def test_labels_and_features_are_checked(record_property, lost):
    rng = np.random.default_rng(0)
    features, good = rng.normal(size=(12, 4)).astype(np.float32), np.arange(12) % 3
    for labels in ([1.5] * 6 + [0.] * 6, [True, False] * 6, [0, -7] * 6, good.astype(float), good.astype(str),
                   [[0]] * 12, [0, True] * 6, [None] * 12, good > 0):
        for probe in (lambda y: linear_probe(features, y, features), lambda y: knn_classify(features, y, features),
                      lambda y: retrieve(features, y, features, good), lambda y: retrieve(features, good, features, y)):
            with pytest.raises(UserError, match='labels are whole numbers'):
                probe(labels)
    for recipe in LINEAR:
        for scale in (1e30, 1e36):
            try:
                scores = linear_probe(scale * features, good, scale * features, recipe, **(
                    {} if recipe.startswith('logreg') else dict(epochs=2)))
            except UserError as error:
                assert f'scores of recipe {recipe!r} are not finite' in str(error)
            else:
                assert np.isfinite(scores).all()
    with pytest.raises(UserError, match="recipe 'paper' are not finite.*1e\\+30|recipe 'paper' are not finite"):
        linear_probe(1e30 * features, good, 1e30 * features, 'paper')
    near, far = (knn_classify(scale * features, good, scale * features, (1, 3)) for scale in (1, 1e30))
    assert all((near[k] == far[k]).all() for k in (1, 3))
    assert (retrieve(1e30 * features, good, features, good)[0] == retrieve(features, good, features, good)[0]).all()
    record_property('tried', 9 * 4 + 2 * len(LINEAR) + 3)
    lost('nothing')


def spoilt_resumes() -> dict:
    def optimizer(**change):
        def spoil(c):
            c['optimizer'] = {**c['optimizer'], **change}
        return spoil

    def group(**change):
        def spoil(c):
            c['optimizer']['param_groups'][0].update(change)
        return spoil

    def meta(**change):
        def spoil(c):
            c['meta'].update(change)
        return spoil

    def shape(c):
        next(iter(c['optimizer']['state'].values()))['momentum_buffer'] = torch.ones(3)

    def scheduler(c):
        c['param_schedulers'][0]['last_step'] = 'x'

    def config(c):
        c['meta']['config'] = 'raise SystemExit("it ran")'
        c['state_dict'].clear()
    return {'no optimizer': lambda c: c.pop('optimizer'), 'optimizer a list': lambda c: c.update(optimizer=[1]),
            'state a list': optimizer(state=[1]), 'no groups': optimizer(param_groups=[]),
            'a group of none': group(params=[]), 'lr a text': group(lr='x'), 'lr a list': group(lr=[1]),
            'a momentum of another shape': shape, 'no hub': lambda c: c.pop('message_hub'),
            'hub of texts': lambda c: c.update(message_hub=dict(log_scalars='x', runtime_info={}, resumed_keys={})),
            'seed a text': meta(seed='x'), 'seed too large': meta(seed=1 << 70),
            'no iter': lambda c: c['meta'].pop('iter'),
            'epoch below zero': meta(epoch=-1), 'a scheduler of texts': scheduler, 'random a text': meta(random='x'),
            'random empty': meta(random=[{}]), 'no weights': config,
            'schedulers a tensor': lambda c: c.update(param_schedulers=torch.ones(2)),
            'another model': lambda c: c.update(state_dict={'backbone.x': torch.ones(1)})}


@pytest.fixture(scope='module')
def trained(tiny_store, tmp_path_factory):
    """A checkpoint to resume from."""
    from mmskelssl.engine.train import train
    options = {'data.store': tiny_store, 'train_cfg.max_epochs': 2, 'default_hooks.checkpoint.interval': 1,
               'train_dataloader.batch_size': 8,
               'model.backbone.hidden_channels': 4, 'model.backbone.out_channels': 16, 'model.queue_size': 64}
    folder = tmp_path_factory.mktemp('trained')
    train('configs/skeletonclr_toy.py', str(folder / 'w'), cfg_options=options)
    return str(folder / 'w' / 'epoch_1.pth'), options


@pytest.mark.slow
@pytest.mark.fault('F35', 'hostile files for --resume PATH and tools/test.py, checkpoints of swapped stages')
@pytest.mark.parametrize('name', ['sound', *spoilt_resumes()])
def test_resuming_from_a_hostile_file(tmp_path, trained, name, lost):
    from mmskelssl.engine.train import train
    path, options = trained
    made = torch.load(path, weights_only=True)
    spoilt_resumes().get(name, lambda c: None)(made)
    torch.save(made, tmp_path / 'a.pth')

    def resume():
        return train(f'{ROOT}/configs/skeletonclr_toy.py', str(tmp_path / 'w'), resume=str(tmp_path / 'a.pth'),
                     cfg_options=options)
    if name == 'sound':
        assert resume().endswith('epoch_2.pth')
        return
    with pytest.raises(UserError) as caught:
        resume()
    assert '\n' not in str(caught.value) and 'different run' not in str(caught.value)
    lost('nothing')


@pytest.mark.fault('F35', 'hostile files for --resume PATH and tools/test.py, checkpoints of swapped stages')
def test_measuring_a_hostile_file_with_a_config(tmp_path, tiny_store, record_property, lost):
    path, tried = tmp_path / 'a.pth', 0
    foreign = content()  # of another method, as when the stages of a recipe are exchanged
    for made in (foreign, [1], {}, dict(state_dict=None), dict(state_dict={}, meta=[1]),
                 {**foreign, 'meta': dict(mmskelssl=dict(stream=['a']))}, dict(state_dict={'backbone.A': 'x'})):
        torch.save(made, path)
        refused(path, lambda path: evaluate_with_config(f'{ROOT}/configs/skeletonclr_toy.py', str(path), ['knn'],
                                                        str(tmp_path / 'out'), data=tiny_store, device='cpu'))
        tried += 1
    assert not (tmp_path / 'out').exists()
    record_property('tried', tried)
    lost('nothing')


def test_a_sound_one_is_still_read(tmp_path, tiny_store):
    """The tests above can only fail for the right reason."""
    model, info = build_from_checkpoint(save(tmp_path / 'a.pth', tiny_store))
    assert info['dataset'] == {**DATASET, 'store': tiny_store} and info['not_loaded'] == []
    evaluate_checkpoints([str(tmp_path / 'a.pth')], ['knn'], str(tmp_path / 'out'), device='cpu', recipes=['1nn'])
