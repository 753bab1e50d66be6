"""Arguments shared by several commands."""
import argparse


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
