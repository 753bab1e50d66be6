"""What the pictures of an evaluation show."""
import numpy as np
import pytest

from mmskelssl.evaluation.features import Features
from mmskelssl.evaluation.pictures import draw_errors
from mmskelssl.evaluation.protocols import measure
from mmskelssl.evaluation.protocols.base import Task

LABELS, PREDICTIONS = np.array([0, 0, 0, 2]), np.array([0, 0, 1, 2])


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """The figure that draw_errors writes."""
    from matplotlib.figure import Figure
    figures, save = [], Figure.savefig

    def savefig(self, *args, **kwargs):
        figures.append(self)
        return save(self, *args, **kwargs)
    monkeypatch.setattr(Figure, 'savefig', savefig)

    def draw(*args):
        draw_errors(str(tmp_path / 'a.png'), *args)
        assert (tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')
        matrix, bars = figures[-1].axes[:2]
        return matrix, bars
    return draw


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_confusions_have_numbers_and_supports(drawn):
    matrix, bars = drawn(LABELS, PREDICTIONS, ['a', 'b', 'c'], 'title')
    assert texts(matrix) == ['67', '33', '100'] and texts(bars) == ['66.7', '100.0']
    for axis in (matrix, bars):
        assert [label.get_text() for label in axis.get_yticklabels()] == ['a (3)', 'c (1)']
    assert bars.get_title() == 'mean over classes 83.3 %, 4 clips'


def test_a_retrieval_shows_average_precisions(drawn):
    matrix, bars = drawn(LABELS, PREDICTIONS, ['a', 'b', 'c'], 'title', np.array([1, .5, .3, .2]))
    assert texts(bars) == ['60.0', '20.0'] and bars.get_xlabel() == 'average precision %'
    assert bars.get_title() == 'mAP, mean over clips 50.0 %, 4 clips'
    assert matrix.get_xlabel() == 'class of the first clip found'


def test_the_retrieval_hands_over_what_it_measures():
    rng = np.random.default_rng(0)
    parts = [Features(rng.normal(size=(n, 4)).astype(np.float32), np.arange(n) % 3, [f'{n}-{i}' for i in range(n)])
             for n in (12, 9)]
    measured, = measure(Task(parts[0], {'test': parts[1]}, 3), 'retrieval')
    assert 100 * measured.outcome.precision['test'].mean() == pytest.approx(measured.row['map'])
