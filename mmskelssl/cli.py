"""The command ``mmskelssl``: the table of commands, and the scripts in ``tools`` that run the same commands.

A command is a module of :mod:`mmskelssl.commands`. It has ``add_arguments(parser)``, ``run(args)``, which may return an
exit status, and a docstring, which is its help text. Heavy imports are made in ``run``, so that help is fast.
"""
import argparse
import difflib
import importlib
import sys
from collections.abc import Callable, Sequence

from mmskelssl import __version__
from mmskelssl.errors import log_without_console, one_line_errors
from mmskelssl.threads import limit_spinning

COMMANDS = {
    'train': 'pre-train an encoder: every stage of a config',
    'test': 'measure a checkpoint with the model and the data of a config',
    'evaluate': 'measure encoders under the protocols of the papers',
    'benchmark': 'pre-train and measure a config over splits, streams and seeds',
    'reproduce': 'reproduce a table or a figure of a paper',
    'doctor': 'check this machine, a run or a store',
    'detect': 'detect the format of a folder, and show how to import it',
    'prepare': 'turn a data set into a store',
    'verify': 'find every fault of a store',
    'repair': 'write a repaired copy of a store',
    'stats': 'show lengths, classes, persons and movement of a store',
    'merge': 'merge several stores',
    'browse': 'draw the clips of a store, and the views of a config',
    'embed': "write the features of a store's clips",
    'fit': 'fit a classifier on a labelled store, and save it',
    'predict': 'classify clips with a classifier that fit has saved',
    'save': 'save an encoder to a folder, with a model card',
    'attention': "draw and measure a method's masks",
    'curves': "draw a run's curves",
    'report': 'write a page that shows what an encoder has learned',
    'convert': 'convert an official checkpoint',
    'export': 'write a model as safetensors, ONNX or for torch.export',
    'configs': 'list, print and compare configs',
}


class Parser(argparse.ArgumentParser):
    """Keeps line breaks in descriptions, and raises an error if the output is closed or full."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def _print_message(self, message, file=None):
        if message:
            (file or sys.stderr).write(message)  # argparse would ignore errors


def make_parser(command: str, argv: Sequence[str] = (), prog: str | None = None,
                script: str | None = None) -> argparse.ArgumentParser:
    """Create the parser of a command.

    Args:
        command: Name in :data:`COMMANDS`.
        argv: Arguments of the command. Plug-ins named there may add to its parser.
        prog: Program name in the usage text.
        script: Path of the script that examples show, such as ``tools/train.py``.
    """
    module = _module(command)
    parser = Parser(prog=prog, description=module.__doc__)
    if hasattr(module, 'before_parsing'):
        module.before_parsing(argv)
    module.add_arguments(parser)
    if script and parser.description:
        parser.description = parser.description.replace(f'mmskelssl {command} ', f'python {script} ')
    return parser


def _module(command: str):
    return importlib.import_module(f'mmskelssl.commands.{command}')


def _run(command: str, argv: Sequence[str], **names) -> None:
    limit_spinning()
    log_without_console()
    args = make_parser(command, argv, **names).parse_args(argv)
    if status := _module(command).run(args):
        sys.exit(status)


def script(command: str, path: str) -> Callable[[], None]:
    """Create the ``main`` of a script that runs a command with the same arguments and the same help.

    Args:
        command: Name in :data:`COMMANDS`.
        path: Path of the script, for the examples in its help.
    """
    @one_line_errors
    def main() -> None:
        _run(command, sys.argv[1:], script=path)
    return main


@one_line_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Run ``mmskelssl COMMAND ...``."""
    argv = list(sys.argv[1:] if argv is None else argv)
    listing = '\n'.join(f'  {name:<10} {text}' for name, text in COMMANDS.items())
    parser = Parser(
        prog='mmskelssl', usage='mmskelssl COMMAND [arguments]',
        description='Self-supervised learning on human skeletons.',
        epilog=f'commands:\n{listing}\n\nmmskelssl COMMAND --help shows the arguments of a command.')
    parser.add_argument('--version', action='version', version=f'mmskelssl {__version__}')
    parser.add_argument('command', metavar='COMMAND', help='one of the commands below')
    command = parser.parse_args(argv[:1]).command
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        parser.error(f'unknown command {command!r}' + (f'; did you mean {near[0]}?' if near else '')
                     + ' (mmskelssl --help lists them)')
    _run(command, argv[1:], prog=f'mmskelssl {command}')
