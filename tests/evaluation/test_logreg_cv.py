"""``logreg-cv`` chooses C on training clips of other subjects, says which, and never sees a test label."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmskelssl.catalogue import UnknownName
from mmskelssl.commands.measure import choose_recipes, evaluate_checkpoints
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.cross_validation import choose_c
from mmskelssl.evaluation.features import Features
from mmskelssl.evaluation.linear import fit_layer, linear_probe
from mmskelssl.evaluation.protocols import measure, recipes_of
from mmskelssl.evaluation.protocols.base import Task
from mmskelssl.evaluation.recipes import BENCHMARK_DATA, LINEAR, LogRegCVRecipe, LogRegRecipe
from mmskelssl.evaluation.splits import held_out_parts

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'

QUICK = LogRegCVRecipe(smallest=1e-3, largest=1., candidates=4, folds=3)


def clips(n=60, people=6, seed=0, noise=1.5, prefix='a'):
    """Features in which each subject has a habit that says nothing about the class."""
    rng = np.random.default_rng(seed)
    labels, subjects = np.arange(n) % 3, np.arange(n) // 3 % people
    centres, habits = np.random.default_rng(9).normal(size=(2, 20, 12))
    feats = centres[labels] + 2 * habits[subjects] + noise * rng.normal(size=(n, 12))
    return Features(feats.astype(np.float32), labels, [f'{prefix}{i}' for i in range(n)], subjects)


def by_hand(recipe, data, parts):
    """The number of hits of each C, with plain scikit-learn."""
    hits = []
    for value in np.geomspace(recipe.smallest, recipe.largest, recipe.candidates):
        found = 0
        for part in parts:
            rest = [i for i in range(len(data)) if i not in set(part.tolist())]
            mean, std = data.feats[rest].mean(0), data.feats[rest].std(0)
            model = LogisticRegression(C=value, max_iter=5000).fit((data.feats[rest] - mean) / std, data.labels[rest])
            found += (model.predict((data.feats[part] - mean) / std) == data.labels[part]).sum()
        hits.append(int(found))
    return hits


def test_the_best_on_other_subjects_and_the_smallest_among_equals():
    data = clips()
    made = choose_c(QUICK, data.feats, data.labels, data.subjects)
    parts, by = held_out_parts(data.labels, data.subjects, 3, 0)
    hits = by_hand(QUICK, data, parts)
    assert (made.by, made.parts, by) == ('subjects', 3, 'subjects')
    assert [*made.top1.values()] == pytest.approx([100 * hit / 60 for hit in hits]) and len(set(hits)) > 1
    assert made.C == pytest.approx(np.geomspace(1e-3, 1, 4)[int(np.argmax(hits))])
    assert made.recipe == LogRegRecipe(made.C, 1000)
    same = choose_c(QUICK, np.ones_like(data.feats), data.labels, data.subjects)
    assert same.C == pytest.approx(1e-3)  # every value is as good


@pytest.mark.parametrize('subjects, folds, by', [
    (None, 3, 'clips'), (np.full(60, -1), 3, 'clips'), (np.arange(60) % 2, 3, 'clips'), (np.arange(60) // 15, 3,
                                                                                         'subjects')])
def test_parts(subjects, folds, by):
    """Subjects that are not known, or only two, divide nothing. The parts then have the same share of each class."""
    data = clips()
    made = choose_c(QUICK, data.feats, data.labels, subjects)
    assert (made.by, made.parts) == (by, folds)
    parts, _ = held_out_parts(data.labels, subjects if by == 'subjects' else None, folds, 0)
    if by == 'clips':
        assert all(np.ptp(np.bincount(data.labels[part])) <= 1 for part in parts)
    else:
        assert not any(set(subjects[a]) & set(subjects[b]) for a in parts for b in parts if a is not b)


def test_many_clips_are_not_all_used_to_choose():
    data = clips()
    made = choose_c(replace(QUICK, most_clips=30), data.feats, data.labels, data.subjects, seed=3)
    kept = np.sort(np.random.default_rng(3).choice(60, 30, replace=False))
    same = choose_c(QUICK, data.feats[kept], data.labels[kept], data.subjects[kept], seed=3)
    assert made.clips == 30 and made == same and made.numbers()['cv']['clips'] == 30
    assert choose_c(replace(QUICK, most_clips=60), data.feats, data.labels).clips == 60


def test_fewer_subjects_than_folds_make_fewer_parts():
    data = clips(people=4)
    made = choose_c(replace(QUICK, folds=5), data.feats, data.labels, data.subjects)
    assert (made.by, made.parts) == ('subjects', 4)


def test_no_test_label_is_ever_read():
    """Neither the scores nor the C change with the labels, the number or the values of the test clips."""
    train, test = clips(), clips(30, seed=1, prefix='b')
    wrong = replace(test, labels=(test.labels + 1) % 3)
    other = clips(9, seed=2, noise=9., prefix='c')
    made = [next(measure(Task(train, dict(test=one), 3), 'linear', ['logreg-cv'])) for one in (test, wrong, other)]
    assert made[0].row['C'] == made[1].row['C'] == made[2].row['C'] and made[0].row['cv'] == made[2].row['cv']
    np.testing.assert_array_equal(made[0].scores, made[1].scores)
    assert made[0].row['top1'] != made[1].row['top1']


def test_it_is_logistic_regression_with_that_c():
    train, test = clips(), clips(30, seed=1, prefix='b')
    row = next(measure(Task(train, dict(test=test), 3), 'linear', ['logreg-cv'])).row
    scores = linear_probe(train.feats, train.labels, test.feats, 'logreg', C=row['C'])
    made = linear_probe(train.feats, train.labels, test.feats, 'logreg-cv', subjects=train.subjects)
    np.testing.assert_array_equal(made, scores)
    assert row['cv'] == dict(parts=5, by='subjects', clips=60, top1=row['cv']['top1']) and len(row['cv']['top1']) == 9
    choice = choose_c(LINEAR['logreg-cv'], train.feats, train.labels)
    for made, same in zip(fit_layer(train.feats, train.labels, 'logreg-cv'),
                          fit_layer(train.feats, train.labels, choice.recipe), strict=True):
        np.testing.assert_array_equal(made, same)


def test_settings_that_cannot_be():
    for change, message in (('smallest=2', 'largest is 1; it must be above smallest'), ('folds=1', 'at least 2'),
                            ('candidates=1', 'candidates is 1; it must be at least 2')):
        with pytest.raises(UnknownName, match=message):
            LINEAR[f'logreg-cv:{change}']
    with pytest.raises(UserError, match='each with its own class'):
        choose_c(QUICK, np.eye(4, dtype=np.float32), np.arange(4))


def test_own_data_has_it_by_default():
    assert recipes_of('linear') == recipes_of('linear', data='nwucla') == ['logreg', 'paper']
    assert recipes_of('linear', data='mine') == ['logreg-cv', 'paper']
    assert recipes_of('knn', data='mine') == recipes_of('knn')
    assert choose_recipes(['linear'], None, 'mine') == dict(linear=['logreg-cv', 'paper'])
    assert choose_recipes(['linear'], ['logreg'], 'mine') == dict(linear=['logreg'])
    assert {*BENCHMARK_DATA} == {path.stem for path in CONFIGS.glob('*.py')} - {'pose2d', 'pool'}


def test_evaluate_prints_and_records_the_choice(tiny_kinect_store, tmp_path, capsys):
    checkpoint = train('configs/simclr_nwucla.py', str(tmp_path / 'run'), cfg_options={
        'data.store': tiny_kinect_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 16,
        'model.backbone.channels': (8, 8, 16, 16)})
    evaluate_checkpoints([checkpoint], ['linear'], str(tmp_path / 'out'), pictures=False)
    rows = {row['recipe']: row for row in json.loads((tmp_path / 'out' / 'results.json').read_text())['results']}
    assert [*rows] == ['logreg-cv', 'paper']
    row = rows['logreg-cv']
    assert 1e-4 <= row['C'] <= 1 and (row['cv']['by'], row['cv']['parts']) == ('subjects', 5)
    assert f'logreg-cv: C = {row["C"]:.3g}, chosen on 5 parts of the training clips, divided by subjects' \
        in capsys.readouterr().out
