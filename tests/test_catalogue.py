"""Catalogues: plug-ins can add names, but cannot change existing ones by accident."""
import pickle

import pytest

from mmskelssl.catalogue import Catalogue
from mmskelssl.errors import UserError


@pytest.fixture
def fruits():
    return Catalogue('fruit', dict(apple=1, pear=2))


def test_it_reads_as_a_mapping(fruits):
    assert list(fruits) == ['apple', 'pear'] and fruits['pear'] == 2 and len(fruits) == 2
    assert 'plum' not in fruits and fruits.get('plum', 3) == 3 and dict(**fruits) == dict(apple=1, pear=2)


def test_it_grows_by_registration_only(fruits):
    assert fruits.register('plum', 3) == 3 and fruits['plum'] == 3

    @fruits.register('nut')
    def nut(): ...
    assert fruits['nut'] is nut and callable(nut)
    with pytest.raises(TypeError):
        fruits['fig'] = 4
    with pytest.raises(TypeError):
        del fruits['apple']


def test_a_name_is_given_once(fruits):
    with pytest.raises(UserError, match="the fruit 'apple' exists already"):
        fruits.register('apple', 5)
    assert fruits['apple'] == 1
    fruits.register('apple', 5, force=True)
    assert fruits['apple'] == 5


def test_an_unknown_name_is_answered_with_the_nearest(fruits):
    with pytest.raises(UserError) as caught:
        fruits['appel']
    assert str(caught.value) == "unknown fruit 'appel': did you mean apple? choose one of apple, pear"
    with pytest.raises(KeyError, match="unknown fruit 'xyz': choose one of apple, pear"):
        fruits['xyz']
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # crosses a process boundary
