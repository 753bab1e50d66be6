"""Files of scores of other programs: types, names of classes, and sums out of range."""
import json

import numpy as np
import pytest

from mmskelssl.commands.score_files import fuse_files
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import fuse
from mmskelssl.evaluation.scores import Scores, join, load_scores

SCORES = np.random.default_rng(0).normal(size=(4, 3))


def write(path, **arrays):
    np.savez(path, **{**dict(ids=list('abcd'), scores=SCORES, labels=[0, 1, 2, 0]), **arrays})
    return str(path)


def test_ids_and_classes_may_be_bytes_and_scores_integers(tmp_path):
    made = load_scores(write(tmp_path / 'x.npz', ids=np.array([name.encode() for name in ('a', 'é', 'c', 'd')]),
                             scores=np.arange(12).reshape(4, 3), classes=np.array([b'x', b'y', b'z'])))
    assert made.ids == ['a', 'é', 'c', 'd'] and made.classes == ['x', 'y', 'z']
    assert made.scores.dtype == np.float64 and (made.scores.ravel() == np.arange(12)).all()


@pytest.mark.parametrize('arrays, message', [
    (dict(classes=['x', 'y']), '2 classes for 3 columns of scores'),
    (dict(classes=['x', 'y', 'x']), "two of its classes are called 'x'"),
    (dict(labels=[0., 1., 2., 0.]), 'labels float64; expected numbers and integers'),
    (dict(scores=SCORES > 0), 'scores are bool'),
    (dict(ids=np.array([b'a', b'b', b'c', b'\xff'])), 'not a readable file of scores')])
def test_refused(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        load_scores(write(tmp_path / 'x.npz', **arrays))


def member(classes, labels=(0, 0, 0, 0)):
    return Scores(list('abcd'), SCORES, np.array(labels), dict(encoder='SimCLR', stream='joint', split='test'), classes)


def test_members_with_their_classes_in_another_order():
    """The labels agree, because no clip has one of the classes that changed places."""
    with pytest.raises(UserError, match="b: class 1 is 'z', but 'y' in another member"):
        join([member(['x', 'y', 'z']), member(['x', 'z', 'y'])], ['a', 'b'])
    with pytest.raises(UserError, match="c: class 1 is 'z', but 'y' in another member"):
        join([member([]), member(['x', 'y', 'z']), member(['x', 'z', 'y'])], ['a', 'b', 'c'])


@pytest.mark.parametrize('unnamed', [[], ['0', '1', '2']])
def test_the_member_that_names_its_classes_names_those_of_the_ensemble(unnamed):
    for members in ([member(unnamed), member(['x', 'y', 'z'])], [member(['x', 'y', 'z']), member(unnamed)]):
        assert fuse(members, [.5, .5], 'equal').classes == ['x', 'y', 'z']


@pytest.mark.parametrize('weights', [(1e308, 1e308), (1e39, 1.)])
def test_sums_that_cannot_be_saved(weights):
    with pytest.raises(UserError, match="weighted scores of sample 'a' exceed the range of float32"):
        fuse([member(['x', 'y', 'z']), member(['x', 'y', 'z'])], weights, 'numbers')


def test_shares_of_the_labels_are_not_mixed(tmp_path):
    rows = [json.dumps(dict(label_fraction=share)) for share in (.1, .5)]
    files = [write(tmp_path / f'{name}.npz', row=row) for name, row in zip('ab', rows, strict=True)]
    with pytest.raises(UserError, match=r'a.npz is of 0.1 of the labels, and .*b.npz of 0.5: fuse files of the same'):
        fuse_files(files, str(tmp_path / 'out'), 'equal', ['linear'], dict(pictures=False))
    assert not (tmp_path / 'out/results.json').exists()


@pytest.mark.parametrize('scores, told', [(np.full((4, 3), 1 / 3), True), (SCORES * 2, False)])
def test_probabilities_next_to_other_scores_are_told(tmp_path, capsys, scores, told):
    files = [write(tmp_path / 'a.npz'), write(tmp_path / 'b.npz', scores=scores)]
    fuse_files(files, str(tmp_path / 'out'), 'equal', ['linear'], dict(pictures=False))
    assert ('b.npz has probabilities, and' in capsys.readouterr().out) == told
