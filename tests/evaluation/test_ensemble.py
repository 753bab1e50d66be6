"""Scores are joined by id regardless of order, weights use only training clips, and bad files raise errors."""
import itertools
import zipfile

import numpy as np
import pytest

from mmskelssl import augment
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import (
    STREAMS,
    choose_weights,
    fixed_weights,
    fuse,
    parse_weights,
    stream_of_members,
)
from mmskelssl.evaluation.scores import Scores, join, load_scores, save_scores

IDS = [f'clip{i:02d}' for i in range(60)]
LABELS = np.arange(60) % 4


def member(seed, noise=1., stream='joint', **row):
    rng = np.random.default_rng(seed)
    scores = np.eye(4)[LABELS] + noise * rng.normal(size=(60, 4))
    order = rng.permutation(60)  # every member has its own order
    row = dict(encoder='SimCLR', stream=stream, split='test', protocol='linear', recipe='logreg', label_fraction=1.0,
               seconds=1., data='tiny', **row)
    return Scores([IDS[i] for i in order], scores[order], LABELS[order], row, list('abcd'))


def members():
    return [member(0, .5, 'joint'), member(1, .8, 'bone'), member(2, 3., 'motion')]


def test_the_sum_is_that_of_each_clip():
    made = fuse(members(), (.5, .3, .2), 'equal')
    lookup = [dict(zip(m.ids, m.scores, strict=True)) for m in members()]
    hits = 0
    for name, label, scores in zip(made.ids, made.labels, made.scores, strict=True):
        expected = .5 * lookup[0][name] + .3 * lookup[1][name] + .2 * lookup[2][name]
        np.testing.assert_allclose(scores, expected)
        assert label == LABELS[IDS.index(name)]
        hits += expected.argmax() == label
    assert made.row['top1'] == pytest.approx(100 * hits / 60) and made.row['stream'] == '3s'
    assert made.row['encoder'] == 'SimCLR' and made.row['seconds'] == 3 and made.row['weights'] == [.5, .3, .2]
    rows_as_they_come = sum(np.eye(4)[m.scores.argmax(1)] for m in members()).argmax(1)
    assert (rows_as_they_come == members()[0].labels).mean() < made.row['top1'] / 100  # the reason for joining by id


def test_weights_are_the_best_of_the_grid_and_even_among_equals():
    weights = choose_weights(members(), list('jbm'))
    _, scores, labels = join(members(), list('jbm'))

    def hits(w):
        return (np.tensordot(w, scores, 1).argmax(1) == labels).sum()
    grid = [np.array([a, b, 10 - a - b]) / 10 for a, b in itertools.product(range(11), repeat=2) if a + b <= 10]
    assert hits(weights) == max(hits(w) for w in grid) and weights.sum() == pytest.approx(1)
    best = [w for w in grid if hits(w) == hits(weights)]
    assert ((weights - 1 / 3) ** 2).sum() == pytest.approx(min(((w - 1 / 3) ** 2).sum() for w in best))
    same = [member(0), member(0)]
    assert choose_weights(same, 'ab').tolist() == [.5, .5]


def test_named_weights():
    assert fixed_weights('equal', ['joint'] * 4).tolist() == [.25] * 4
    assert fixed_weights('paper-skeattnclr-xview', ['motion', 'joint', 'bone']).tolist() == [.2, 1., .2]
    assert fixed_weights('paper-actclr-xview', ['joint', 'bone', 'motion']).tolist() == [.6, .6, .4]
    with pytest.raises(UserError, match='is for the streams joint, bone, motion, not for joint, joint'):
        fixed_weights('paper-actclr-xsub', ['joint', 'joint'])
    with pytest.raises(UserError, match='--weights best: give one number for each member, or one of equal'):
        fixed_weights('best', ['joint'])
    with pytest.raises(UserError, match='`validation` are chosen on'):
        fixed_weights('validation', ['joint'])
    for cell, weights in (('ntu60-xsub', [.6, .6, .4]), ('ntu60-xview', [.6, .6, .8]), ('ntu120', [.6, .4, .6]),
                          ('pkummd1-xsub', [.6, .6, .4]), ('pkummd1-xview', [.6, 0, .4]),
                          ('pkummd2-xsub', [.6, .4, .6]), ('pkummd2-xview', [.2, .2, .6])):
        assert fixed_weights(f'paper-aimclr-{cell}', ['joint', 'bone', 'motion']).tolist() == weights


def test_three_and_four_streams():
    four = ['invariant', 'joint', 'motion', 'bone']
    assert fixed_weights('4s', four).tolist() == [.25] * 4 and parse_weights(['4s']) == '4s'
    assert fixed_weights('3s', four[1:]).tolist() == [1 / 3] * 3
    for name, streams in (('4s', four[1:]), ('4s', [*four, 'joint']), ('3s', four), ('3s', ['joint'] * 3)):
        with pytest.raises(UserError, match=f'--weights {name} is for the streams joint, bone, motion.* not for'):
            fixed_weights(name, streams)
    assert STREAMS == augment.STREAMS  # written twice, because importing the other takes long


@pytest.mark.parametrize('streams, name', [
    (('joint',), 'joint'), (('bone', 'joint'), '2s'), (('motion', 'joint', 'bone'), '3s'), (STREAMS, '4s'),
    (('joint', 'joint'), 'joint'), (('invariant', 'joint', 'bone'), 'joint+bone+invariant'),
    (('bone', 'motion'), 'bone+motion'), (('mine', 'joint'), 'joint+mine')])
def test_other_streams_do_not_pass_as_the_usual_ones(streams, name):
    made = fuse([member(i, stream=stream) for i, stream in enumerate(streams)], [1.] * len(streams), 'equal')
    assert made.row['stream'] == stream_of_members(streams) == name


def test_weights_as_numbers():
    assert parse_weights(['0.60', '.6', '4e-1']) == '0.6 0.6 0.4' == parse_weights([.6, .6, .4])
    assert parse_weights(['equal']) == 'equal' == parse_weights('equal')
    assert fixed_weights('0.6 0 2', ['bone', 'joint', 'joint']).tolist() == [.6, 0, 2]  # in the order of the members
    for words, message in ((['1', '1'], '2 numbers for 3 members'), (['0', '0', '0'], 'at least one must be positive'),
                           (['-1', '1', '1'], 'must not be negative'), (['nan', '1', '1'], 'must not be negative'),
                           (['equal', '1'], 'give one number for each member'), ([], 'one must be positive')):
        with pytest.raises(UserError, match=message):
            fixed_weights(' '.join(words), ['joint'] * 3)


def test_file_and_back(tmp_path):
    path, made = str(tmp_path / 'a' / 'scores.npz'), member(0)
    save_scores(path, made)
    back = load_scores(path)
    assert back.ids == made.ids and back.row == made.row and back.classes == list('abcd')
    np.testing.assert_allclose(back.scores, made.scores, rtol=1e-6)
    assert (back.labels == made.labels).all()


def drop(m):
    return Scores(m.ids[1:], m.scores[1:], m.labels[1:], m.row)


def relabel(m):
    return Scores(m.ids, m.scores, (m.labels + 1) % 4, m.row)


def twice(m):
    return Scores([m.ids[1], *m.ids[1:]], m.scores, m.labels, m.row)


@pytest.mark.parametrize('change, message', [
    (drop, 'a and b do not contain the same clips: 1 are only in the first and 0 only in the second'),
    (relabel, r'different labels \(60 samples\)'), (twice, 'b: 1 ids are duplicates'),
    (lambda m: Scores(m.ids, m.scores[:, :3], m.labels % 3, m.row), 'a has 4 classes, but b has 3')])
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        join([member(0), change(member(1))], ['a', 'b'])


@pytest.mark.parametrize('arrays, message', [
    (dict(ids=['a'], scores=[[1., 0.]]), 'labels is not a file|it needs ids, scores and labels'),
    (dict(ids=['a'], scores=[[np.nan, 0.]], labels=[0]), 'scores of sample a are not finite'),
    (dict(ids=['a'], scores=[[1., 0.]], labels=[2]), 'sample a has label 2, but there are 2 classes'),
    (dict(ids=['a', 'b'], scores=[[1., 0.]], labels=[0]), 'do not match'),
    (dict(ids=np.array(['a'], object), scores=[[1., 0.]], labels=[0]), 'not a readable file of scores')])
def test_bad_files(tmp_path, arrays, message):
    path = str(tmp_path / 'x.npz')
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        load_scores(path)


def test_other_bad_files(tmp_path, monkeypatch):
    path = tmp_path / 'x.npz'
    with pytest.raises(UserError, match='no such file'):
        load_scores(str(path))
    path.write_bytes(b'PK no zip')
    with pytest.raises(UserError, match='not a readable file of scores'):
        load_scores(str(path))
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive, archive.open('ids.npy', 'w') as file:
        file.write(bytes(2 << 20))
    monkeypatch.setattr('mmskelssl.evaluation.scores._LIMIT', 1 << 20)
    with pytest.raises(UserError, match='would unpack to'):
        load_scores(str(path))
