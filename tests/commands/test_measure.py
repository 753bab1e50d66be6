"""tools/evaluate.py with encoders trained for an epoch: files, ensembles, transfer and refusals."""
import json
import os.path as osp
import shutil
import sys

import numpy as np
import pytest

import mmskelssl
from mmskelssl import cli
from mmskelssl.commands import evaluate, measure
from mmskelssl.commands.measure import ensemble_checkpoints, evaluate_checkpoints, transfer_checkpoints
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.recipes import FINETUNE, SEMI, FinetuneRecipe
from mmskelssl.evaluation.scores import load_scores
from mmskelssl.inference.extractor import FeatureExtractor
from tests.conftest import StoreWriter, write_tiny_store
from tools import evaluate as tool
from tools import test as test_tool

STREAMS = ('joint', 'bone', 'motion')


@pytest.fixture(scope='module')
def encoders(tiny_store, tmp_path_factory):
    """One checkpoint per stream."""
    folder = tmp_path_factory.mktemp('encoders')
    return [train('configs/simclr_toy.py', str(folder / stream), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
        'model.backbone.channels': (8, 8, 16, 16), 'model.data_preprocessor.stream': stream}) for stream in STREAMS]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    recipe = FinetuneRecipe(lr=1e-3, head_lr=1e-2, epochs=2, batch_size=8, optimizer='adamw')
    for recipes in (FINETUNE, SEMI):
        monkeypatch.setitem(recipes._entries, 'small', recipe)


def results(folder):
    return json.loads((folder / 'results.json').read_text())


@pytest.mark.slow
def test_saved_encoders_are_measured_like_their_checkpoints(encoders, tiny_store, tmp_path, monkeypatch):
    FeatureExtractor(encoders[0], 'cpu').save_pretrained(tmp_path / 'saved')
    for name, source in (('trained', encoders[0]), ('saved', tmp_path / 'saved')):
        measure.evaluate_checkpoints([str(source)], ['knn', 'semi'], str(tmp_path / name), data=tiny_store,
                                     recipes=['1nn', 'frozen'], untrained=True, pictures=False)
    made = [[{key: value for key, value in row.items() if key in ('encoder', 'split', 'recipe', 'top1', 'epoch')}
             for row in results(tmp_path / name)['results']] for name in ('trained', 'saved')]
    assert made[0] == made[1] and len(made[0]) == 8
    with pytest.raises(UserError, match='itself; transfer needs another store'):
        measure.transfer_checkpoints([str(tmp_path / 'saved')], str(tmp_path / 'out'), tiny_store)
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', 'cluster', str(tmp_path / 'saved'), '--data', tiny_store,
                                      '--clusters', '3', '--no-pictures'])
    tool.main()
    assert list((tmp_path / 'saved_eval' / 'clusters').glob('*/clusters.json'))


@pytest.mark.parametrize('source, out', [('zoo/simclr-msr-joint', 'work_dirs/simclr-msr-joint_eval'),
                                         ('w/epoch_3.pth', 'w/epoch_3_eval')])
def test_where_results_are_written(source, out):
    """Nothing is written into the installed package, where the zoo is."""
    assert evaluate.default_out(source) == out


@pytest.mark.slow
def test_every_protocol_from_one_command(encoders, tiny_store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', 'all', encoders[0], '--out', str(tmp_path)])
    tool.main()
    rows = results(tmp_path)['results']
    assert [*dict.fromkeys(row['protocol'] for row in rows)] == [*PROTOCOLS]
    out = capsys.readouterr().out
    assert 'semi 5 %' in out and 'cosine mAP' in out and 'LogRegCVRecipe(smallest=0.0001' in out
    store = SkeletonStore(tiny_store)
    test = set(store.splits['test'])
    for row in rows:
        assert [*row['per_class']] == store.classes and row['ci95'][0] <= row['top1'] <= row['ci95'][1]
        assert np.mean([*row['per_class'].values()]) == pytest.approx(row['mean_class'], abs=1e-3)
        assert (tmp_path / row['picture']).read_bytes().startswith(b'\x89PNG')
        if row['protocol'] in ('linear', 'finetune', 'semi'):
            scores = load_scores(str(tmp_path / row['scores']))
            assert set(scores.ids) == test and scores.classes == store.classes
            assert 100 * (scores.scores.argmax(1) == scores.labels).mean() == pytest.approx(row['top1'], abs=1e-3)
    assert (tmp_path / 'scores' / 'SimCLR_tiny_linear_logreg-cv_test.npz').is_file()
    few = [row for row in rows if row['protocol'] == 'semi']
    assert [row['label_fraction'] for row in few] == [.01, .05, .1]
    for row in few:
        chosen = json.loads((tmp_path / row['subset']).read_text())
        labels = sorted(store.labels[store.positions[name]] for name in chosen['ids'])
        assert labels == [0, 1, 2, 3] and set(chosen['ids']) <= set(store.splits['train'])
        assert chosen['seed'] == 0 and chosen['data_hash'] == store.data_hash


def test_three_streams(encoders, tmp_path, capsys):
    rows = ensemble_checkpoints(encoders, str(tmp_path), recipes=['logreg'], pictures=False)
    assert 'SimCLR 3s, test, linear logreg: 3 members with equal weights\n' in capsys.readouterr().out
    assert [row['stream'] for row in rows] == [*STREAMS, '3s']
    members = [load_scores(str(tmp_path / row['scores'])) for row in rows]
    lookup = [dict(zip(m.ids, m.scores, strict=True)) for m in members]
    for name in members[0].ids:
        np.testing.assert_allclose(lookup[3][name], sum(found[name] for found in lookup[:3]) / 3, rtol=1e-4, atol=1e-5)
    # The same from files, one of which has another order.
    shuffled, order = members[1], np.random.default_rng(0).permutation(16)
    np.savez(tmp_path / 'bone.npz', ids=np.array(shuffled.ids)[order], scores=shuffled.scores[order],
             labels=shuffled.labels[order])
    files = [str(tmp_path / name) for name in (rows[0]['scores'], 'bone.npz', rows[2]['scores'])]
    row, = ensemble_checkpoints(files, str(tmp_path / 'again'))
    assert row['top1'] == rows[3]['top1'] and row['members'] == files


def test_weights_are_numbers_on_the_command_line(encoders, tmp_path, capsys):
    out = tmp_path / 'out'
    cli.main(['evaluate', 'ensemble', *encoders[:2], '--weights', '0.6', '.40', '--recipe', 'paper:epochs=2', '--out',
              str(out), '--no-pictures'])
    *members, fused = results(out)['results']
    assert fused['weights'] == [.6, .4] and fused['fusion'] == '0.6 0.4' and fused['recipe'] == 'paper:epochs=2'
    scores = [load_scores(str(out / row['scores'])).scores for row in (*members, fused)]
    np.testing.assert_allclose(scores[2], .6 * scores[0] + .4 * scores[1], rtol=1e-4, atol=1e-5)
    for arguments, message in (
            (['ensemble', *encoders[:2], '--weights', '1', '2', '3'], '--weights 1 2 3: 3 numbers for 2 members'),
            (['linear', encoders[0], '--weights', 'equal'], '--weights and --of are for the protocol ensemble'),
            (['linear', encoders[0], '--recipe', 'paper:rate=1'], "'rate=1' is not FIELD=VALUE; the fields are lr")):
        with pytest.raises(SystemExit):
            cli.main(['evaluate', *arguments])
        error = capsys.readouterr().err
        assert message in error and error.count('\n') == 1


def permuted(store, path, split):
    """Return a copy of the store with the labels of a split permuted."""
    source, rng = SkeletonStore(store), np.random.default_rng(0)
    inside = set(source.splits[split])
    labels = {name: int(source.labels[source.positions[name]]) for name in source.ids}
    labels.update(zip(sorted(inside), rng.permutation([labels[name] for name in sorted(inside)]).tolist(), strict=True))
    with StoreWriter(path, 'ntu25', classes=source.classes) as writer:
        for i, name in enumerate(source.ids):
            writer.add(name, source.keypoints(i), labels[name])
        for name, ids in source.splits.items():
            writer.set_split(name, ids)
    return str(path)


def test_weights_never_look_at_test(encoders, tiny_store, tmp_path):
    call = dict(weights='validation', recipes=['logreg'], pictures=False)
    made = ensemble_checkpoints(encoders, str(tmp_path / 'a'), **call)[-1]
    other = ensemble_checkpoints(encoders, str(tmp_path / 'b'), data=permuted(tiny_store, tmp_path / 'test', 'test'),
                                 **call)[-1]
    assert other['weights'] == made['weights'] and sum(made['weights']) == pytest.approx(1)
    assert other['top1'] != made['top1'] and made['fusion'] == 'validation'
    scores = [load_scores(str(tmp_path / run / 'scores' / f'SimCLR-3s_{data}_linear_logreg_test.npz'))
              for run, data in (('a', 'tiny'), ('b', 'test'))]
    assert (scores[0].scores == scores[1].scores).all()


def test_weights_are_chosen_on_training_clips_that_the_probe_has_not_seen(encoders, tiny_store, tmp_path, monkeypatch):
    from mmskelssl.commands import measure as command
    seen = []
    monkeypatch.setattr(command, 'choose_weights', lambda members, names: seen.append(members) or np.full(2, .5))
    ensemble_checkpoints(encoders[:2], str(tmp_path), weights='validation', recipes=['logreg'], pictures=False)
    store = SkeletonStore(tiny_store)
    for member in seen[0]:
        assert set(member.ids) < set(store.splits['train']) and len(member.ids) == 8  # 2 of the 8 of each class
        assert member.row['num_train'] == 24


def test_transfer(encoders, tmp_path):
    other = write_tiny_store(tmp_path / 'other', 'ntu25', persons=2, samples=36, classes=3)
    rows = transfer_checkpoints(encoders[:1], str(tmp_path / 'out'), other, recipes=['logreg', 'small'], pictures=False)
    assert [(row['protocol'], row['data'], row['pretrain_data']) for row in rows] == [
        ('linear', 'other', 'tiny'), ('finetune', 'other', 'tiny')]
    assert {row['num_test'] for row in rows} == {12} and len(rows[0]['per_class']) == 3


def test_refusals(encoders, tiny_store, tiny_kinect_store, tmp_path):
    out = str(tmp_path / 'out')
    with pytest.raises(UserError, match="has layout 'kinect20', but .* was trained on 'ntu25'"):
        transfer_checkpoints(encoders[:1], out, tiny_kinect_store)
    with pytest.raises(UserError, match='add --data STORE'):
        transfer_checkpoints(encoders[:1], out, None)
    copy = shutil.copytree(tiny_store, tmp_path / 'copy')
    with pytest.raises(UserError, match='was pre-trained on .*copy itself'):
        transfer_checkpoints(encoders[:1], out, str(copy))
    with pytest.raises(UserError, match='two or more members'):
        ensemble_checkpoints(encoders[:1], out)
    with pytest.raises(UserError, match='either of checkpoints or of files'):
        ensemble_checkpoints([encoders[0], 'x.npz'], out)
    with pytest.raises(UserError, match='give the checkpoints, not their scores'):
        ensemble_checkpoints(['y.npz', 'x.npz'], out, 'validation')
    with pytest.raises(UserError, match='few labels of semi leave none'):
        ensemble_checkpoints(encoders, out, 'validation', ['semi'])
    with pytest.raises(UserError, match='is for the streams joint, bone, motion, not for joint, bone'):
        ensemble_checkpoints(encoders[:2], out, 'paper-actclr-xsub')
    with pytest.raises(UserError, match='--recipe small: not of the protocol knn'):
        evaluate_checkpoints(encoders[:1], ['knn'], out, recipes=['small'])
    with pytest.raises(UserError, match='--split-pairs train:test: given twice'):
        evaluate_checkpoints(encoders[:1], ['knn'], out, pairs=['train:test', 'train:test'])
    assert not osp.exists(out)


@pytest.mark.parametrize('protocol, message', [
    ('cluster', 'different features allow 2 to .* clusters, not 0'), ('knn', '--clusters is for the protocol cluster')])
def test_no_clusters_are_not_the_default_number(encoders, tmp_path, protocol, message):
    args = cli.make_parser('evaluate').parse_args([protocol, encoders[0], '--clusters', '0', '--out', str(tmp_path)])
    with pytest.raises(UserError, match=message):
        evaluate.run(args)


def test_a_text_is_one_name_in_python(encoders, tmp_path):
    rows = mmskelssl.evaluate(encoders[0], 'knn', str(tmp_path), recipes='1nn', pairs='train:test', names='ab',
                              pictures=False)
    assert [(row['encoder'], row['recipe'], row['split']) for row in rows] == [('ab', '1nn', 'test')]
    with pytest.raises(UserError, match='protocols: expected at least one'):
        mmskelssl.evaluate(encoders[0], [])


def test_an_interruption_loses_no_encoder(encoders, tmp_path, monkeypatch):
    from mmskelssl.commands import measure as command
    calls, real = [], command.measure_encoder

    def breaks(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)
    monkeypatch.setattr(command, 'measure_encoder', breaks)
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints(encoders, ['knn'], str(tmp_path), pictures=False)
    def saved():
        return [row['stream'] for row in json.loads((tmp_path / 'results.partial.json').read_text())['results']]
    assert saved() == ['joint'] * 2 and not (tmp_path / 'results.json').exists()
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints(encoders[1:], ['knn'], str(tmp_path), pictures=False)
    assert saved() == ['joint'] * 2 + ['bone'] * 2  # a second interruption does not lose those of the first


def test_a_config_may_stand_in_for_the_description(encoders, tiny_store, tmp_path, monkeypatch):
    """tools/test.py requires the stream of the encoder, and --data may name the only existing store."""
    options = [f'data.store={tmp_path / "absent"}', 'model.backbone.channels=(8,8,16,16)']

    def measured(*more):
        monkeypatch.setattr(sys, 'argv', ['test.py', 'configs/simclr_toy.py', encoders[1], '--protocols', 'knn',
                                          '--recipe', '1nn', '--out', str(tmp_path), *more])
        test_tool.main()
        row, = results(tmp_path)['results']
        return row['stream'], row['top1']

    with pytest.raises(SystemExit):
        measured('--data', tiny_store, '--cfg-options', *options)
    expected, = evaluate_checkpoints([encoders[1]], ['knn'], str(tmp_path / 'e'), recipes=['1nn'], pictures=False)
    assert measured('--data', tiny_store, '--cfg-options', *options, 'model.data_preprocessor.stream=bone') == (
        'bone', expected['top1'])


def test_names_do_not_collide(encoders, tmp_path):
    copy = shutil.copy(encoders[0], tmp_path / 'copy.pth')
    rows = evaluate_checkpoints([encoders[0], str(copy)], ['linear'], str(tmp_path), recipes=['logreg'])
    assert [row['scores'] for row in rows] == ['scores/SimCLR_tiny_linear_logreg_test.npz',
                                              'scores/SimCLR_tiny_linear_logreg_test-2.npz']


def test_a_later_command_adds_its_rows(encoders, tmp_path, capsys):
    """`all`, then `transfer`, into the folder that both take by default: no row, score or picture is lost."""
    out = str(tmp_path / 'out')
    evaluate_checkpoints(encoders[:1], ['knn', 'linear'], out, recipes=['1nn', 'logreg'])
    first = results(tmp_path / 'out')
    files = {row[key]: (tmp_path / 'out' / row[key]).read_bytes() for row in first['results']
             for key in ('scores', 'picture') if key in row}
    assert len(files) == 3
    other = write_tiny_store(tmp_path / 'other', 'ntu25', persons=2, samples=36, classes=3)
    moved = transfer_checkpoints(encoders[:1], out, other, recipes=['logreg'])
    assert [row['data'] for row in moved] == ['other'] and '2 earlier rows kept' in capsys.readouterr().out
    rows = results(tmp_path / 'out')['results']
    assert [row['data'] for row in rows] == ['tiny', 'tiny', 'other']
    assert {key: value for key, value in rows[0].items() if key != 'provenance'} == first['results'][0]
    assert rows[0]['provenance'] == {key: first[key] for key in ('command', 'date', 'versions', 'machine')}
    assert all((tmp_path / 'out' / name).read_bytes() == content for name, content in files.items())
    assert '_other_' in moved[0]['scores'] and '_other_' in moved[0]['picture']
    # A repeated measurement replaces its row and writes the same files again.
    again, = evaluate_checkpoints(encoders[:1], ['linear'], out, recipes=['logreg'])
    assert '2 earlier rows kept, 1 replaced' in capsys.readouterr().out
    assert again['scores'] in files and again['picture'] in files
    assert [row['protocol'] for row in results(tmp_path / 'out')['results']] == ['knn', 'linear', 'linear']


def test_results_that_cannot_be_added_to_are_refused_before_the_work(encoders, tmp_path):
    for content in ('[1', '[]', '{}', '{"results": [1]}'):
        (tmp_path / 'results.json').write_text(content)
        with pytest.raises(UserError, match='is not a readable results.json .* choose another --out'):
            evaluate_checkpoints(encoders[:1], ['knn'], str(tmp_path))
        assert (tmp_path / 'results.json').read_text() == content


def test_runs_of_one_method_have_different_names(encoders, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', 'knn', *encoders[:2], '--out', str(tmp_path), '--recipe', '1nn',
                                      '--names', 'SimCLR, as it is', 'SimCLR, bones'])
    tool.main()
    assert [row['encoder'] for row in results(tmp_path)['results']] == ['SimCLR, as it is', 'SimCLR, bones']
    with pytest.raises(UserError, match='--names: 1 for 2 checkpoints; give one for each'):
        evaluate_checkpoints(encoders[:2], ['knn'], str(tmp_path), names=['a'])
    with pytest.raises(UserError, match="are both called 'a', and both have seed 0; only runs of different seeds"):
        evaluate_checkpoints(encoders[:2], ['knn'], str(tmp_path), names=['a', 'a'])


def test_seeds_of_one_encoder_share_a_name(encoders, tmp_path, monkeypatch):
    """Their rows are kept apart by the seed, and tables show the mean."""
    build = measure.read_encoder

    def other_seed(path):
        model, info = build(path)
        return model, dict(info, seed=encoders.index(path))
    monkeypatch.setattr(measure, 'read_encoder', other_seed)
    evaluate_checkpoints(encoders[:2], ['knn'], str(tmp_path), names=['a', 'a'], recipes=['1nn'])
    rows = results(tmp_path)['results']
    assert [(row['encoder'], row['pretrain_seed']) for row in rows] == [('a', 0), ('a', 1)]


@pytest.fixture(scope='module')
def folds(tmp_path_factory):
    """A store of two folds, the first of which is also called train and test, as an import from pyskl makes it."""
    path = write_tiny_store(tmp_path_factory.mktemp('folds') / 'folds', 'ntu25', persons=2, samples=36, classes=3)
    store = SkeletonStore(path)
    parts = store.ids[:12], store.ids[12:]
    with StoreWriter(path, 'ntu25', classes=store.classes, overwrite=True) as writer:
        for i, sample in enumerate(store.samples):
            writer.add(sample['id'], store.keypoints(i), sample['label'])
        for name, test, train in (('', *parts), ('fold1_', *parts), ('fold2_', *parts[::-1])):
            writer.set_split(f'{name}train', train)
            writer.set_split(f'{name}test', test)
    return path


def test_folds_are_pooled(encoders, folds, tmp_path):
    """Every encoder and the ensemble get a row over all folds, in which each clip counts once."""
    rows = ensemble_checkpoints(encoders[:2], str(tmp_path), data=folds, recipes=['logreg'], pictures=False)
    assert [(row['stream'], row['split']) for row in rows] == [
        (stream, split) for stream in ('joint', 'bone', '2s') for split in ('fold1', 'fold2', '2 folds')]
    for first, second, both in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert (first['num_test'], second['num_test'], both['num_test']) == (12, 24, 36)
        assert both['top1'] == pytest.approx((first['top1'] + 2 * second['top1']) / 3)
        assert both['checkpoint'] == first['checkpoint'] and both['folds'].keys() == {'fold1', 'fold2'}
    assert rows[-1]['members'] == [*map(str, encoders[:2])]
    named = evaluate_checkpoints(encoders[:1], ['knn'], str(tmp_path / 'one'), data=folds, recipes=['1nn'],
                                 pairs=['fold1_train:fold1_test', 'fold2_train:fold2_test', 'train:test'])
    assert [row['split'] for row in named] == ['fold1', 'fold2', 'test', '2 folds']


def test_folds_that_do_not_belong_together_are_not_pooled(encoders, folds, tmp_path, monkeypatch, capsys):
    call = dict(data=folds, recipes=['logreg'], pictures=False)
    twice = ['fold1_train:fold1_test', 'fold2_test:fold1_test', 'fold2_train:fold2_test']
    rows = evaluate_checkpoints(encoders[:1], ['linear'], str(tmp_path / 'twice'), pairs=twice, **call)
    assert [row['split'] for row in rows] == ['fold1', 'fold1', 'fold2']
    assert 'no row over all folds, because a fold is measured with several training splits' in capsys.readouterr().out
    build = measure.read_encoder

    def trained_on_a_fold(path):
        model, info = build(path)
        dataset = {**info['dataset'], 'store': folds, 'train_split': 'fold1_train'}
        dataset['about'] = {**dataset['about'], 'data_hash': SkeletonStore(folds).data_hash}
        return model, {**info, 'dataset': dataset}
    monkeypatch.setattr(measure, 'read_encoder', trained_on_a_fold)
    rows = ensemble_checkpoints(encoders[:2], str(tmp_path / 'seen'), untrained=True, **call)
    assert {row['encoder'] for row in rows if row['split'] == '2 folds'} == {'untrained'}
    assert 'because SimCLR was pre-trained on test clips of some; train one encoder for each' in capsys.readouterr().out
