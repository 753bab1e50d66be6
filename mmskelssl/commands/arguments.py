"""Arguments shared by several commands."""
import argparse
import os.path as osp
from collections.abc import Sequence

from mmskelssl.errors import UserError


class KeyValues(argparse.Action):
    """Parses ``KEY=VALUE ...`` to a dict as OpenMMLab's tools do. mmengine is imported only if the option is used."""

    def __call__(self, parser, namespace, values, option_string=None):
        from mmengine.config import DictAction
        for text in values:
            if not text.partition('=')[0] or '=' not in text:
                parser.error(f'{option_string}: {text!r} is not KEY=VALUE')
        try:
            DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option_string)
        except AssertionError as error:  # unbalanced brackets
            parser.error(f'{option_string}: {error}')


def seed(text: str) -> int:
    """Type of ``--seed``: an integer that every generator of random numbers takes."""
    value = int(text)
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f'{text} is not an integer from 0 to {(1 << 32) - 1}')
    return value


def add_config_options(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument('--cfg-options', nargs='+', action=KeyValues, default={}, metavar='KEY=VALUE', help=help)


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, which the scripts that start several processes give."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none',
                        help='given by tools/dist_train.sh, tools/dist_test.sh and the scripts for Slurm')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_imports(parser: argparse.ArgumentParser) -> None:
    """Add ``--imports``."""
    parser.add_argument('--imports', nargs='+', action='extend', default=[], metavar='PLUGIN',
                        help='modules, or paths of packages and files, to import first')


def refuse_twice(paths: Sequence[str]) -> None:
    """Raise if a file is given twice. Its results would be written twice, and count twice in an ensemble."""
    there: dict[str, str] = {}
    for path in paths:
        place = osp.realpath(path)
        if place in there:
            raise UserError(f'{path} is given twice' + f', first as {there[place]}' * (there[place] != path))
        there[place] = path
