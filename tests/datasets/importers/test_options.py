"""Command-line options come from an importer's signature and docstring."""
import argparse
from collections.abc import Sequence
from typing import Literal

import pytest

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.options import add_options, options_of


def importer(path, writer, *, layout: str, persons: Literal['one', 'two'] = 'one', factor: float = 1.5,
             number: int | None = None, scale: Sequence[float] | None = None, joints: Sequence[int] | None = None,
             scores: bool = True, seed: int = 0, jobs: int | None = None) -> None:
    """First line.

    More of it: with a colon.

    Args:
        layout: Which layout,
            100 % of it.
        persons: Which persons.
        factor: A factor.
        number: A number.
        scale: Numbers.
        joints: Whole numbers.
        scores: Keep scores.
        seed: A seed.
        jobs: Processes.
    """


def parse(*arguments, function=importer):
    parser = argparse.ArgumentParser()
    add_options(parser, function)
    return options_of(function, parser.parse_args(arguments))


DEFAULTS = dict(layout='x', persons='one', factor=1.5, number=None, scale=None, joints=None, scores=True, seed=0,
                jobs=None)


@pytest.mark.parametrize('arguments, changed', [
    ((), {}), (('--persons', 'two'), dict(persons='two')), (('--factor', '2'), dict(factor=2.)),
    (('--number', '-3'), dict(number=-3)), (('--scale', '1,2.5,-3'), dict(scale=[1, 2.5, -3])),
    (('--joints', '3,2'), dict(joints=[3, 2])), (('--no-scores',), dict(scores=False)),
    (('--jobs', '4', '--seed', '7'), dict(jobs=4, seed=7))])
def test_options(arguments, changed):
    got = parse('--layout', 'x', *arguments)
    assert got == dict(DEFAULTS, **changed) and type(got['factor']) is float


@pytest.mark.parametrize('arguments, message', [
    ((), '--layout'), (('--layout', 'x', '--persons', 'three'), 'invalid choice'),
    (('--layout', 'x', '--factor', 'much'), 'invalid float'), (('--layout', 'x', '--joints', '1.5'), '--joints'),
    (('--layout', 'x', '--jobs', '0'), '0 is less than 1'), (('--layout', 'x', '--jobs', '-2'), 'less than 1'),
    (('--layout', 'x', '--jobs', 'all'), '--jobs'), (('--layout', 'x', '--seed', '-1'), '-1 is less than 0')])
def test_wrong_options(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert message in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit):
        parse('--help')
    text = ' '.join(capsys.readouterr().out.split())
    assert 'Which layout, 100 % of it' in text and 'A factor (default 1.5)' in text and '{one,two}' in text


@pytest.mark.parametrize('name', IMPORTERS)
def test_every_importer_explains_every_option(name, capsys):
    with pytest.raises(SystemExit):
        parse('--help', function=IMPORTERS[name])
    out = capsys.readouterr().out
    for parameter in IMPORTERS[name].__kwdefaults__ or {}:
        assert f'--{parameter.replace("_", "-")}' in out
