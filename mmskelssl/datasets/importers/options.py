"""Command-line options of an importer, read from its signature.

Each keyword-only argument is an option. Its annotation gives the type and the help text::

    def import_mine(path, writer, *, fps: Annotated[float, 'Frames per second of the files'] = 30., jobs: Jobs = None):

Types are str, int, float, bool, a ``Literal`` of strings, a ``Sequence`` of int or float, and each of these or None.
"""
import argparse
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mmskelssl.datasets.importers.third import Third
from mmskelssl.errors import UserError


@dataclass(frozen=True)
class AtLeast:
    """The lowest value of a number, as part of an annotation: ``Annotated[int, 'Persons kept', AtLeast(1)]``."""
    least: int


# Options shared by several importers.
Jobs = Annotated[int | None, 'Number of processes; default one per core', AtLeast(1)]
TestShare = Annotated[float | None, (
    'Share of each class in the test split if no split is given; the rest is train (default 0.2, and 0 for clips '
    'without a label)')]
SplitSeed = Annotated[int, 'Seed of the choice of test samples', AtLeast(0)]
ThirdNumber = Annotated[Third | None, (
    'Meaning of the third number of a joint: its score, its depth, or a number to drop; default a score in 2D layouts '
    'and where x and y are pixels')]
Layout = Annotated[str, "Skeleton of the data: a layout's name, or a json file with name, joints, parents, hip, "
                        'shoulders']
LabelSource = Annotated[str, (
    'Source of labels: "folders" (the folder of each clip), "none", or a csv file with a header and the columns name, '
    'label, subject, split, of which only name is required; "auto" uses labels.csv among the files, or else folders '
    'if there are several')]


def add_options(parser: argparse.ArgumentParser, importer: Callable) -> None:
    """Add an option for each keyword-only argument of an importer.

    Raises:
        UserError: An argument has no help text, or a type that the command line does not support.
    """
    hints = get_type_hints(importer, include_extras=True)
    for name, parameter in _keyword_arguments(importer).items():
        where = f'importer {importer.__module__}.{importer.__qualname__}: option {name!r}'
        kind, text, least = _read(hints.get(name), where)
        needed = parameter.default is parameter.empty
        default = None if needed else parameter.default
        if default is not None and kind is not bool:
            text += f' (default {default})'
        flag = '--' + name.replace('_', '-')
        options: dict[str, Any] = dict(help=text.replace('%', '%%'), required=needed, default=default)
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        elif get_origin(kind) is Literal:
            parser.add_argument(flag, choices=get_args(kind), **options)
        elif get_origin(kind) is Sequence:
            parser.add_argument(flag, type=_numbers(get_args(kind)[0]), metavar='A,B,...', **options)
        else:
            parser.add_argument(flag, type=kind if least is None else _at_least(kind, least), metavar=name.upper(),
                                **options)


def options_of(importer: Callable, args: argparse.Namespace) -> dict:
    """Return the importer's keyword arguments from the parsed ones."""
    return {name: getattr(args, name) for name in _keyword_arguments(importer)}


def _keyword_arguments(importer: Callable) -> dict[str, inspect.Parameter]:
    return {name: parameter for name, parameter in inspect.signature(importer).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY}


def _read(annotation: Any, where: str) -> tuple[Any, str, int | None]:
    """Return the type without None, the help text and the lowest value of an annotation."""
    annotation = _without_none(annotation)  # Python 3.10 adds `| None` around the annotation where the default is None
    if get_origin(annotation) is not Annotated:
        raise UserError(f"{where} has no help text: annotate it as Annotated[TYPE, 'help text']")
    kind, *extras = get_args(annotation)
    kind, text = _without_none(kind), next((extra for extra in extras if isinstance(extra, str)), '')
    if not text:
        raise UserError(f"{where} has no help text: annotate it as Annotated[TYPE, 'help text']")
    supported = (kind in (str, int, float, bool)
                 or (get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind)))
                 or (get_origin(kind) is Sequence and get_args(kind) in ((int,), (float,))))
    if not supported:
        raise UserError(f'{where} has the type {kind}, which the command line does not support: use str, int, float, '
                        'bool, a Literal of strings, or a Sequence of int or float')
    return kind, text, next((extra.least for extra in extras if isinstance(extra, AtLeast)), None)


def _without_none(annotation: Any) -> Any:
    """Reduce ``int | None`` to int. Unions of several types are kept."""
    if get_origin(annotation) in (types.UnionType, Union):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _numbers(kind: type) -> Callable[[str], list]:
    return lambda text: [kind(part) for part in text.split(',')]


def _at_least(kind: type, least: int) -> Callable[[str], Any]:
    def number(text: str):
        if kind(text) < least:
            raise argparse.ArgumentTypeError(f'{text} is less than {least}')
        return kind(text)
    number.__name__ = kind.__name__  # argparse names it in messages
    return number
