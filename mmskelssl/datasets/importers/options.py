"""Command-line options of an importer, read off its signature and docstring."""
import argparse
import inspect
import re
import types
from collections.abc import Callable, Sequence
from typing import Literal, get_args, get_origin


def add_options(parser: argparse.ArgumentParser, importer: Callable) -> None:
    """An option for each keyword argument: str, int, float, bool, a Literal, a Sequence of numbers, each or None."""
    described = _descriptions(importer)
    for name, parameter in inspect.signature(importer).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        flag, kind, text = '--' + name.replace('_', '-'), _kind(parameter.annotation), described[name]
        needed = parameter.default is parameter.empty
        if parameter.default not in (None, parameter.empty) and kind is not bool:
            text += f' (default {parameter.default})'
        options = dict(help=text.replace('%', '%%'), required=needed,
                       default=None if needed else parameter.default)
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        elif get_origin(kind) is Literal:
            parser.add_argument(flag, choices=get_args(kind), **options)
        elif get_origin(kind) is Sequence:
            number, = get_args(kind)
            parser.add_argument(flag, type=lambda text, number=number: [number(part) for part in text.split(',')],
                                metavar='A,B,...', **options)
        else:
            kind = _COUNTS.get(name, kind)
            parser.add_argument(flag, type=kind, metavar=name.upper(), **options)


def _at_least(least: int):
    def count(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f'{text} is less than {least}')
        return int(text)
    return count


_COUNTS = dict(jobs=_at_least(1), seed=_at_least(0))


def options_of(importer: Callable, args: argparse.Namespace) -> dict:
    """The importer's keyword arguments among parsed ones."""
    return {name: getattr(args, name) for name, parameter in inspect.signature(importer).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY}


def _kind(annotation):
    """``int | None`` -> int."""
    if get_origin(annotation) in (types.UnionType,):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _descriptions(importer: Callable) -> dict[str, str]:
    """Argument -> text of the docstring's Args."""
    args = inspect.getdoc(importer).partition('Args:\n')[2]
    entries = re.findall(r'^    (\w+): (.*(?:\n     +.*)*)', args, re.M)
    return {name: re.sub(r'\s+', ' ', text).strip().rstrip('.') for name, text in entries}
