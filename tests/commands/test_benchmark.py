"""Folds are pooled into one row, and finished runs are not repeated."""
import json

import numpy as np
import pytest

from mmskelssl import cli
from mmskelssl.commands import benchmark_runs as module
from mmskelssl.commands.benchmark_rows import average_seeds, pool_folds
from mmskelssl.commands.benchmark_runs import benchmark
from mmskelssl.commands.measure import evaluate_checkpoints
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine import train as engine
from mmskelssl.errors import UserError
from mmskelssl.evaluation.results import identity
from mmskelssl.evaluation.scores import load_scores


def row(split, top1, num_test, **changes):
    return {**dict(encoder='SimCLR', method='SimCLR', stream='joint', pretrain_seed=0, protocol='knn', recipe='1nn',
                   split=split, top1=top1, top5=None, mean_class=top1, num_test=num_test, num_train=10, seconds=1.,
                   feature_seconds=1., data='sbu', checkpoint='x', config_hash='y'), **changes}


def test_every_test_sample_counts_once():
    rows = [row('fold1', 100., 10), row('fold2', 50., 30), row('fold1', 0., 10, encoder='untrained'),
            row('fold2', 0., 30, encoder='untrained')]
    pooled, untrained = pool_folds(rows)
    assert pooled['top1'] == pytest.approx(62.5) and pooled['num_test'] == 40 and pooled['split'] == '2 folds'
    assert pooled['folds'] == dict(fold1=100., fold2=50.) and pooled['ci95'][0] < 62.5 < pooled['ci95'][1]
    assert untrained['top1'] == 0 and untrained['ci95'] == pytest.approx([0, 8.76], abs=.01) and pooled['top5'] is None


def test_a_fold_that_is_named_twice_is_refused():
    with pytest.raises(UserError, match='a fold occurs twice'):
        pool_folds([row('fold1', 1., 10), row('fold1', 1., 10)])


def test_few_labels_are_not_pooled_with_all():
    rows = [row(f'fold{i}', 10. * i, 10, label_fraction=share, protocol='semi', per_class={'a': 1.}, scores='x')
            for i in (1, 2) for share in (.01, .1)]
    pooled = pool_folds(rows)
    assert [made['label_fraction'] for made in pooled] == [.01, .1] and {made['top1'] for made in pooled} == {15.}
    assert not {'per_class', 'scores'} & pooled[0].keys()


def test_seeds_are_summed_up():
    rows = [row('test', top1, 20, pretrain_seed=seed, ci95=[0, 100]) for seed, top1 in enumerate((50., 60., 70.))]
    made, = average_seeds(rows)
    assert made['top1'] == 60 and made['std'] == pytest.approx(10) and made['seeds'] == [0, 1, 2]
    assert made['by_seed'] == [50, 60, 70] and made['pretrain_seed'] is None and made['ci95'][0] < 60 < made['ci95'][1]
    retrieval = [{**each, 'protocol': 'retrieval', 'map': each['top1'] / 10} for each in rows]
    assert average_seeds(retrieval)[0]['std'] == pytest.approx(1)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing a confusion matrix for each row takes longer than the rest. The tests of measuring check one."""
    monkeypatch.setattr('mmskelssl.commands.output.draw_errors', lambda *_: None)


@pytest.fixture
def folds(tiny_kinect_store, tmp_path):
    """The tiny store with two folds."""
    store = SkeletonStore(tiny_kinect_store)
    with StoreWriter(tmp_path / 'store', 'kinect20', classes=store.classes) as writer:
        for i, sample in enumerate(store.samples):
            writer.add(sample['id'], store.keypoints(i), sample['label'])
        halves = store.ids[::2], store.ids[1::2]
        for fold, (test, train) in zip(('fold1', 'fold2'), (halves, halves[::-1]), strict=True):
            writer.set_split(f'{fold}_train', train)
            writer.set_split(f'{fold}_test', test)
    return str(tmp_path / 'store')


def written(out):
    return json.loads((out / 'results.json').read_text())['results']


def test_rows_are_added_and_never_lost(tiny_kinect_store, tmp_path, monkeypatch, capsys):
    """Recipes, weights and other streams of a later call stand next to the rows of an earlier one."""
    call = dict(config='configs/simclr_msr.py', out=str(tmp_path), cfg_options={
        'data.store': tiny_kinect_store, 'train_cfg.max_epochs': 1, 'model.backbone.channels': (4, 4, 8, 8),
        'train_dataloader.batch_size': 8})
    two = dict(streams=['joint', 'bone'], protocols=['linear'])
    first = benchmark(**call, **two, recipes=['paper:epochs=2'], weights='0.75 0.25')
    assert {row['recipe'] for row in first} == {'paper:epochs=2'}
    assert 'linear paper:epochs=2: SGDRecipe(lr=3, batch_size=128, epochs=2' in capsys.readouterr().out
    fused, = [row for row in first if row['stream'] == '2s' and row['encoder'] == 'SimCLR']
    assert fused['weights'] == [.75, .25] and fused['fusion'] == '0.75 0.25'
    joint, bone = (load_scores(str(tmp_path / row['scores'])) for row in first
                   if row['encoder'] == 'SimCLR' and row['stream'] in ('joint', 'bone'))
    assert joint.ids == bone.ids
    total = .75 * joint.scores + .25 * bone.scores
    assert fused['top1'] == pytest.approx(100 * np.mean(total.argmax(1) == joint.labels))

    monkeypatch.setattr(engine, 'run_stage', lambda *_, **__: pytest.fail('trained again'))
    measured = []
    monkeypatch.setattr(module, 'evaluate_checkpoints', lambda ends, protocols, out, **options: (
        measured.append((out, options['recipes'])), evaluate_checkpoints(ends, protocols, out, **options))[1])
    second = benchmark(**call, protocols=['knn'], recipes=['1nn'], streams=['joint'])
    assert measured == [(str(tmp_path / 'joint_seed0'), ['1nn'])]
    assert len(written(tmp_path)) == len(first) + len(second)

    # Another recipe for one stream: only what is missing is measured, and the fused row names both.
    recipes = dict(joint=['paper:epochs=2'], bone=['paper:epochs=3'])
    third = benchmark(**call, **two, recipes=recipes, stage='last')
    assert measured[1:] == [(str(tmp_path / 'bone_seed0'), ['paper:epochs=3'])]
    assert [(row['stream'], row['recipe']) for row in third] == [
        ('joint', 'paper:epochs=2'), ('bone', 'paper:epochs=3'), ('2s', 'paper:epochs=2+paper:epochs=3')]
    benchmark(**call, **two, recipes=['paper:epochs=2'])  # equal weights are another measurement than 0.75 0.25
    rows = written(tmp_path)
    assert len({identity(row) for row in rows}) == len(rows) == len(first) + len(second) + 2 + 2
    assert {row['fusion'] for row in rows if row['stream'] == '2s'} == {'0.75 0.25', 'equal'}

    with pytest.raises(UserError, match='the same number of recipes'):
        benchmark(**call, **two, recipes=dict(joint=['paper'], bone=['paper', 'logreg']))


def test_rows_of_another_run_in_the_same_folder_are_not_taken(tiny_kinect_store, tmp_path):
    """The checkpoints were deleted and the config changed; the old rows stay, but under their own hash."""
    call = dict(config='configs/simclr_msr.py', out=str(tmp_path), protocols=['knn'], recipes=['1nn'], stage='last')
    options = {'data.store': tiny_kinect_store, 'train_cfg.max_epochs': 1, 'model.backbone.channels': (4, 4, 8, 8),
               'train_dataloader.batch_size': 8}
    old, = benchmark(**call, cfg_options=options)
    for checkpoint in (tmp_path / 'joint_seed0').glob('*.pth'):
        checkpoint.unlink()
    new, = benchmark(**call, cfg_options={**options, 'model.temperature': .5})
    assert new['config_hash'] != old['config_hash'] and len(written(tmp_path)) == 2


def test_means_of_other_seeds_and_weights_are_other_measurements():
    def mean(seeds, **changes):
        return average_seeds([row('test', 50., 20, pretrain_seed=seed, ci95=[0, 100], **changes) for seed in seeds])[0]
    rows = [mean((0, 1)), mean((0, 1, 2)), mean((0, 1), stream='3s', fusion='equal'),
            mean((0, 1), stream='3s', fusion='0.6 0.6 0.4')]
    assert len({identity(each) for each in rows}) == 4
    pooled = [pool_folds([row(f'fold{i}', top1, 10) for i in folds])[0]
              for folds, top1 in (((1, 2), 1.), ((1, 3), 1.), ((1, 2), 2.))]
    assert identity(pooled[0]) == identity(pooled[2]) != identity(pooled[1])


@pytest.mark.parametrize('weights, streams, message', [
    ('validation', ['joint', 'bone'], 'fitted again'), ('0.5 0.5', ['joint'], 'for several streams'),
    ('0.5 0.5 0.1', ['joint', 'bone'], '3 numbers for 2 members'),
    ('paper-aimclr-ntu120', ['joint', 'bone'], 'is for the streams joint, bone, motion')])
def test_wrong_weights_are_refused_before_training(weights, streams, message, monkeypatch):
    monkeypatch.setattr(module, 'train', lambda *_, **__: pytest.fail('trained'))
    with pytest.raises(UserError, match=message):
        benchmark('configs/simclr_msr.py', 'unused', streams=streams, weights=weights)


@pytest.mark.parametrize('given, options, message', [
    (dict(streams=['bone']), {'model.data_preprocessor.stream': 'joint'}, '--streams sets model.data_preprocessor.str'),
    (dict(seeds=[0]), {'randomness': dict(seed=5)}, 'randomness: --seeds sets randomness.seed'),
    (dict(splits=['xsub']), {'stages.simclr.data.split': 'xview'}, '--splits sets data.split'),
    (dict(seeds=[1, 1]), {}, '--seeds 1 1: name each only once')])
def test_what_it_sets_itself_is_refused_as_an_option(given, options, message, monkeypatch):
    monkeypatch.setattr(module, 'train', lambda *_, **__: pytest.fail('trained'))
    with pytest.raises(UserError, match=message):
        benchmark('configs/simclr_msr.py', 'unused', cfg_options=options, **given)


@pytest.mark.parametrize('options, run', [
    ({}, ('joint', 0)), ({'model.data_preprocessor.stream': 'bone', 'randomness.seed': 3}, ('bone', 3))])
def test_stream_and_seed_are_those_of_the_config(options, run, monkeypatch):
    def stop(config, folder, split, stream, seed, *_):
        raise UserError(f'{stream} {seed}')
    monkeypatch.setattr(module, '_run', stop)
    with pytest.raises(UserError, match='{} {}'.format(*run)):
        benchmark('configs/simclr_msr.py', 'unused', cfg_options=options)


def test_the_command_refuses_a_protocol_without_a_recipe(capsys):
    with pytest.raises(SystemExit):
        cli.main(['benchmark', 'simclr_msr', '--protocols', 'knn', 'linear', '--recipe', 'paper'])
    assert '--protocols knn: it has none of the recipes paper' in capsys.readouterr().err


@pytest.mark.slow
def test_two_folds_of_a_staged_recipe(folds, tmp_path, monkeypatch):
    options = {'data.store': folds, 'train_cfg.max_epochs': 1, 'model.backbone.hidden_channels': 4,
               'model.head.out_channels': 8, 'train_dataloader.batch_size': 8}
    call = dict(splits=['fold1', 'fold2'], cfg_options=options)
    rows = benchmark('configs/crrl_msr.py', str(tmp_path / 'out'), **call)
    assert {row['encoder'] for row in rows} == {'untrained', 'CRRLMotion', 'CRRL'}
    assert {row['num_test'] for row in rows} == {48} and {row['split'] for row in rows} == {'2 folds'}
    content = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert len(content['results']) == len(rows) and content['data_hash']
    single = json.loads((tmp_path / 'out' / 'fold2_joint_seed0' / 'results.json').read_text())['results']
    assert {row['test_split'] for row in single} == {'fold2_test'}

    monkeypatch.setattr(engine, 'run_stage', lambda *_, **__: pytest.fail('trained again'))
    again = benchmark('configs/crrl_msr.py', str(tmp_path / 'out'), **call)
    assert [row['top1'] for row in again] == pytest.approx([row['top1'] for row in rows], abs=1e-3)
    for key in ('stages.crrl.optim_wrapper.optimizer.lr', 'stages.crrlmotion.optim_wrapper.optimizer.lr'):
        with pytest.raises(UserError, match='was written by a different run'):
            benchmark('configs/crrl_msr.py', str(tmp_path / 'out'), **{**call, 'cfg_options': {**options, key: .5}})


@pytest.mark.slow
def test_streams_and_seeds(folds, tmp_path, monkeypatch, capsys):
    options = {'data.store': folds, 'train_cfg.max_epochs': 1, 'model.backbone.channels': (4, 4, 8, 8),
               'train_dataloader.batch_size': 8}
    call = dict(splits=['fold1', 'fold2'], streams=['joint', 'bone'], cfg_options=options, seeds=[0, 1])
    out = tmp_path / 'out'
    benchmark('configs/simclr_msr.py', str(out), protocols=['linear'], **call)
    rows = benchmark('configs/simclr_msr.py', str(out), protocols=['linear', 'retrieval'], **call)  # one additional row
    seen = {(row['encoder'], row['stream'], row['protocol'], row['recipe'], row['pretrain_seed']) for row in rows}
    fused = {key for key in seen if key[1] == '2s'}
    assert len(seen) == len(rows) and len(fused) == 2 * 2 * 3  # encoders, recipes, seeds and their mean
    assert {row['num_test'] for row in rows} == {48} and {row['split'] for row in rows} == {'2 folds'}
    assert '2s 2 folds' in capsys.readouterr().out

    # By hand: each clip once, the mean of the two streams' scores.
    hits = []
    for fold in ('fold1', 'fold2'):
        joint, bone = (load_scores(str(out / f'{fold}_{stream}_seed1' / 'scores' /
                                       f'SimCLR{"" if stream == "joint" else "-bone"}_store_linear_paper_{fold}.npz'))
                       for stream in ('joint', 'bone'))
        other = dict(zip(bone.ids, bone.scores, strict=True))
        hits += [np.argmax(scores + other[name]) == label
                 for name, scores, label in zip(joint.ids, joint.scores, joint.labels, strict=True)]
    made, = [row for row in rows if row['stream'] == '2s' and row['pretrain_seed'] == 1 and row['recipe'] == 'paper'
             and row['encoder'] == 'SimCLR']
    assert made['top1'] == pytest.approx(100 * np.mean(hits))

    for where, name in ((engine, 'run_stage'), (module, 'evaluate_checkpoints')):
        monkeypatch.setattr(where, name, lambda *_, **__: pytest.fail('done again'))
    again = benchmark('configs/simclr_msr.py', str(out), protocols=['linear', 'retrieval'], **call)
    assert [row['top1'] for row in again] == pytest.approx([row['top1'] for row in rows], abs=1e-3)
