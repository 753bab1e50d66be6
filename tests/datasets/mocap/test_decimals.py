"""Numbers that are read many at once are those of float(), to the bit, and so are the messages."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmskelssl.datasets.mocap import decimals
from mmskelssl.datasets.mocap.decimals import floats, words_of

WORDS = ['0', '-0', '+1', '-0.0', '.5', '5.', '-.5', '1e-05', '1E5', 'nan', '-inf', 'Infinity', '1_000', '0.1',
         '123456789012345', '1234567890123456', '12345678901234567890123', '0.000000000000001', '-179.999999',
         '0.30000000000000004', '1e999', '٣.٥', '000000000000000000000001', '1.7976931348623157e308']
BROKEN = ['', '.', '-', '+.', '1.2.3', '1-2', '--1', '1e', 'nan(1)', '0x1', '1,5', '1{', '-+1', 'é', '1 ٣ x']


def same(text):
    """Compare with Python: the numbers to the bit, or the message."""
    words = words_of(text)
    assert [words.data[a:b].decode() for a, b in zip(words.starts, words.stops, strict=True)] == text.split()
    try:
        expected = np.array([float(word) for word in text.split()])
    except ValueError as error:
        with pytest.raises(ValueError) as raised:
            floats(words)
        assert str(raised.value) == str(error)
    else:
        assert floats(words).tobytes() == expected.tobytes()


@pytest.mark.parametrize('text', [' '.join(WORDS), '\n\t'.join(WORDS), ' 1 2\n', '', ' ', '1\x1c2\x0b3\x853\u30004',
                                  *(f'1 {word} 2' for word in BROKEN), *WORDS, *BROKEN])
def test_like_float(text):
    same(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.floats().map(repr), st.integers().map(str), st.decimals(places=6).map(str),
                          st.text('0123456789+-._eEnaif ', max_size=8)), max_size=30))
def test_any_numbers(words):
    same(' '.join(words))


def test_many_blocks(monkeypatch):
    monkeypatch.setattr(decimals, '_BLOCK', 7)
    same(' '.join(f'{value:.{i % 9}f}' for i, value in enumerate(np.random.default_rng(0).normal(0, 999, 100))))
    same('1 ' * 20 + 'x' + ' 2' * 20)
