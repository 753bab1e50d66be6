"""What evaluate would ignore, count twice or show only in part is refused, or said."""
import json
import shutil

import numpy as np
import pytest

from mmskelssl import cli
from mmskelssl.commands import measure, output
from mmskelssl.commands.measure import ensemble_checkpoints, evaluate_checkpoints
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.results import read_results
from mmskelssl.evaluation.scores import Scores, load_scores, save_scores
from tests.conftest import write_tiny_store


@pytest.fixture(scope='module')
def seeds(tiny_store, tmp_path_factory):
    """Two encoders of one method that differ in their seed."""
    folder = tmp_path_factory.mktemp('seeds')
    return [train('configs/simclr_toy.py', str(folder / f'seed{seed}'), seed=seed, cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
        'model.backbone.channels': (8, 8, 16, 16)}) for seed in (0, 1)]


def score_file(path, seed=0, **arrays):
    scores = np.random.default_rng(seed).normal(size=(6, 3))
    np.savez(path, **{**dict(ids=list('abcdef'), scores=scores, labels=[0, 1, 2, 0, 1, 2]), **arrays})
    return str(path)


def test_a_checkpoint_is_measured_once(seeds, tmp_path):
    link = tmp_path / 'link.pth'
    link.symlink_to(seeds[0])
    for paths, message in (([seeds[0], seeds[0]], 'is given twice$'), ([seeds[0], str(link)], 'given twice, first as')):
        with pytest.raises(UserError, match=message):
            evaluate_checkpoints(paths, ['knn'], str(tmp_path / 'out'))
        with pytest.raises(UserError, match=message):
            ensemble_checkpoints(paths, str(tmp_path / 'out'))
    file = score_file(tmp_path / 'a.npz')
    with pytest.raises(UserError, match='a.npz is given twice'):
        ensemble_checkpoints([file, file], str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['', ' ', 'untrained'])
def test_names_that_would_not_show_which_encoder_it_is(seeds, tmp_path, name):
    with pytest.raises(UserError, match='--names: choose names that are not empty'):
        evaluate_checkpoints(seeds[:1], ['knn'], str(tmp_path / 'out'), names=[name])


def test_a_recipe_of_no_chosen_protocol_is_refused(seeds, tmp_path):
    with pytest.raises(UserError, match='--recipe logreg: not of the protocol knn; choose among 1nn, 20nn'):
        evaluate_checkpoints(seeds[:1], ['knn'], str(tmp_path), recipes=['1nn', 'logreg'])
    with pytest.raises(UserError, match='--of knn: it has none of the recipes logreg'):
        ensemble_checkpoints(seeds, str(tmp_path), protocols=['linear', 'knn'], recipes=['logreg'])


def test_encoders_of_one_name_have_their_own_lines(seeds, tmp_path, capsys):
    rows = evaluate_checkpoints(seeds, ['knn'], str(tmp_path), recipes=['1nn'], untrained=True, pictures=False)
    table = capsys.readouterr().out
    assert len(rows) == 4
    for row in rows:
        line, = [line for line in table.splitlines() if f'seed {row["pretrain_seed"]} ' in line
                 and line.startswith(f'│ {row["encoder"]}')]
        assert f'{row["top1"]:.1f} (' in line


def test_what_has_no_ensemble_is_said(seeds, tmp_path, capsys):
    rows = ensemble_checkpoints(seeds, str(tmp_path), protocols=['knn'], pictures=False)
    assert 'note: knn 1nn does not rank the classes, so there is no ensemble of it' in capsys.readouterr().out
    assert [row['recipe'] for row in rows if row.get('members')] == ['20nn']


def test_members_on_different_stores_are_refused(seeds, tiny_store, tmp_path, monkeypatch):
    """There was no ensemble of them, and nothing said so."""
    copy = str(shutil.copytree(tiny_store, tmp_path / 'copy'))
    read = measure.read_encoder

    def moved(path):
        model, info = read(path)
        return model, dict(info, dataset=dict(info['dataset'], store=copy)) if path == seeds[1] else info
    monkeypatch.setattr(measure, 'read_encoder', moved)
    with pytest.raises(UserError, match='an ensemble needs scores of the same clips, .*tiny, .*copy: add --data STORE'):
        ensemble_checkpoints(seeds, str(tmp_path / 'out'), recipes=['logreg'], pictures=False)
    assert not (tmp_path / 'out').exists()
    rows = ensemble_checkpoints(seeds, str(tmp_path / 'out'), recipes=['logreg'], data=copy, pictures=False)
    assert len(rows) == 3


def test_untrained_members_have_their_own_validation_scores(seeds, tmp_path, monkeypatch):
    """Both have no checkpoint, and the scores of one took the place of those of the other."""
    seen = []
    monkeypatch.setattr(measure, 'choose_weights', lambda members, names: seen.append(members) or np.full(2, .5))
    ensemble_checkpoints(seeds, str(tmp_path), 'validation', recipes=['logreg'], untrained=True, pictures=False)
    assert [[member.row['pretrain_seed'] for member in members] for members in seen] == [[0, 1], [0, 1]]
    assert all((first.scores != second.scores).any() for first, second in seen)


@pytest.mark.parametrize('options', [['--recipe', '1nn'], ['--split-pairs', 'a:b'], ['--untrained'], ['--data', 'x'],
                                     ['--seed', '3'], ['--device', 'cpu'], ['--of', 'knn']])
def test_files_of_scores_take_no_options_of_encoders(tmp_path, options):
    files = [score_file(tmp_path / name, seed) for seed, name in enumerate(('a.npz', 'b.npz'))]
    with pytest.raises(SystemExit):
        cli.main(['evaluate', 'ensemble', *files, *options, '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


def test_files_of_scores_without_pictures(tmp_path):
    files = [score_file(tmp_path / name, seed) for seed, name in enumerate(('a.npz', 'b.npz'))]
    cli.main(['evaluate', 'ensemble', *files, '--no-pictures', '--out', str(tmp_path / 'out')])
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['results.json', 'scores']


@pytest.mark.parametrize('row', [dict(seeds=[0, 1]), dict(folds={'fold1': 1.}), dict(subset='subsets/a.json')])
def test_fields_of_other_rows_are_not_taken_over(tmp_path, row):
    files = [score_file(tmp_path / 'a.npz', row=json.dumps(row)), score_file(tmp_path / 'b.npz', 1)]
    made, = ensemble_checkpoints(files, str(tmp_path / 'out'), pictures=False)
    assert not made.keys() & row.keys()
    assert load_scores(str(tmp_path / 'out' / made['scores'])).ids == list('abcdef')
    kept, = read_results(str(tmp_path / 'out' / 'results.json'))
    assert kept['members'] == files


def test_a_file_of_a_protocol_without_scores(tmp_path):
    files = [score_file(tmp_path / 'a.npz', row=json.dumps(dict(protocol='retrieval'))), score_file(tmp_path / 'b.npz')]
    with pytest.raises(UserError, match='a.npz: its row is of the protocol retrieval, which has no scores'):
        ensemble_checkpoints(files, str(tmp_path / 'out'))


def test_fit_takes_an_encoder_once(seeds, tiny_store, tmp_path, capsys):
    for arguments, message in (([seeds[0], seeds[0]], f'{seeds[0]} is given twice'), (
            [seeds[0], '--test-splits', 'test', 'test'], '--test-splits test test: name each only once')):
        with pytest.raises(SystemExit):
            cli.main(['fit', *arguments, '--data', tiny_store, '--out', str(tmp_path / 'out')])
        assert message in capsys.readouterr().err


def test_weights_cannot_be_chosen_without_clips(seeds, tmp_path):
    store = write_tiny_store(tmp_path / 'one', 'ntu25', persons=1, samples=12, classes=8)
    with pytest.raises(UserError, match='each class of train has one training clip, so none is left to choose'):
        ensemble_checkpoints(seeds, str(tmp_path / 'out'), 'validation', recipes=['logreg'], data=store, pictures=False)


def test_commands_at_the_same_time_write_different_files(tmp_path, monkeypatch):
    """The second one looks for a name while the first has one, but has not written its file yet."""
    def add(i: int) -> None:
        row = dict(encoder='SimCLR', method='SimCLR', stream='joint', data='tiny', split='test', protocol='linear',
                   recipe='logreg', label_fraction=1., checkpoint=f'{i}.pth', per_class={}, top1=50., ci95=[0., 100.])
        outputs[i].add_ensemble(Scores(['a', 'b'], np.full((2, 2), float(i)), np.array([0, 1]), row, ['x', 'y']))

    def save(path: str, scores: Scores) -> None:
        monkeypatch.setattr(output, 'save_scores', save_scores)
        add(1)
        save_scores(path, scores)

    outputs = [output.Output(str(tmp_path), pictures=False) for _ in range(2)]
    monkeypatch.setattr(output, 'save_scores', save)
    add(0)
    for one in outputs:
        one.finish()
    rows = read_results(str(tmp_path / 'results.json'))
    assert len({row['scores'] for row in rows}) == 2
    for row in rows:
        assert (load_scores(str(tmp_path / row['scores'])).scores == int(row['checkpoint'][0])).all()
