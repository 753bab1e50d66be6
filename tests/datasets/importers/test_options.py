"""Command-line options come from an importer's signature."""
import argparse
from collections.abc import Sequence
from typing import Annotated, Literal, Optional

import pytest

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.options import AtLeast, Jobs, SplitSeed, add_options, options_of
from mmskelssl.errors import UserError


def importer(path, writer, *, layout: Annotated[str, 'Which layout, 100 % of it'],
             persons: Annotated[Literal['one', 'two'], 'Which persons'] = 'one',
             factor: Annotated[float, 'A factor'] = 1.5, number: Annotated[int | None, 'A number'] = None,
             scale: Annotated[Sequence[float] | None, 'Numbers'] = None,
             joints: Annotated[Sequence[int] | None, 'Whole numbers'] = None,
             scores: Annotated[bool, 'Keep scores'] = True, seed: SplitSeed = 0, jobs: Jobs = None) -> None:
    """First line.

    More of it: with a colon.
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


def test_future_annotations():
    """``from __future__ import annotations`` converts annotations to text."""
    names: dict = {}
    exec('from __future__ import annotations\n'  # noqa: S102
         'from typing import Annotated\n'
         'def late(path, writer, *, count: Annotated[int | None, "How many"] = None): pass', names)
    assert parse('--count', '3', function=names['late']) == dict(count=3)


@pytest.mark.parametrize('annotation', [Annotated[Optional[int], 'How many'],  # noqa: UP045
                                        Optional[Annotated[int, 'How many']]])  # noqa: UP045
def test_optional(annotation):
    def function(path, writer, *, count=None): ...
    function.__annotations__ = dict(count=annotation)
    assert parse('--count', '3', function=function) == dict(count=3) and parse(function=function) == dict(count=None)


@pytest.mark.parametrize('annotation, reason', [
    (int, 'has no help text'), (None, 'has no help text'), (Annotated[int, AtLeast(1)], 'has no help text'),
    (Annotated[dict, 'Text'], "the type <class 'dict'>, which the command line does not support"),
    (Annotated[int | str, 'Text'], 'does not support'), (Annotated[Sequence[str], 'Text'], 'does not support'),
    (Annotated[Literal[1, 2], 'Text'], 'does not support')])
def test_an_option_that_cannot_be_offered_names_importer_and_option(annotation, reason):
    def mine(path, writer, *, count=1): ...
    mine.__annotations__ = {} if annotation is None else dict(count=annotation)
    with pytest.raises(UserError, match=r"importer test_options.*mine: option 'count'") as caught:
        parse(function=mine)
    assert reason in str(caught.value)
