"""Convert a data set to a store, and maintain stores.

Examples:
  mmskelssl prepare toy --out data/toy
  mmskelssl prepare ntu60 nturgbd_skeletons_s001_to_s017.zip --out data/ntu60
  mmskelssl prepare pyskl nw_ucla.pkl --layout kinect20 --out data/nwucla
  mmskelssl prepare arrays FOLDER --layout kinect20 --out data/mine
  mmskelssl prepare detect FOLDER
  mmskelssl prepare verify data/nwucla
  mmskelssl prepare stats data/nwucla --plot lengths.png
  mmskelssl prepare split data/mine --share 0.2 --seed 1 --by subject

To continue an interrupted import, run the same command again.
"""
import argparse
import importlib
import inspect
import os.path as osp
from collections.abc import Sequence

from mmskelssl.commands.arguments import seed
from mmskelssl.errors import UserError

# Commands that maintain stores, and their modules. The first five are also available as separate commands.
_CARE = dict(detect='detect', verify='verify', repair='repair', stats='stats', merge='merge', split='split',
             subset='subset', relabel='relabel', convert='convert_store')


def before_parsing(argv: Sequence[str]) -> None:
    """Import the plug-ins of ``--imports``, so that their importers are available as sources."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_imports(parser)
    names = parser.parse_known_args(argv)[0].imports
    if names:
        from mmskelssl.engine.plugins import import_plugins
        import_plugins(names)


def _add_imports(parser: argparse.ArgumentParser, default: list | str | None = None) -> None:
    parser.add_argument('--imports', action='append', default=default if default is not None else [],
                        metavar='PLUGIN', help='module, or path of a package or file, to import first, which '
                        'registers a custom importer; can be repeated')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmskelssl.datasets.importers import IMPORTERS
    from mmskelssl.datasets.importers.options import add_options
    _add_imports(parser)
    commands = parser.add_subparsers(dest='command', required=True, metavar='SOURCE | COMMAND')
    if taken := sorted({'toy', *_CARE} & set(IMPORTERS)):
        raise UserError(f'an importer has the name {taken[0]!r} of a command: rename it')

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text.partition('\n')[0], description=text)

    for name, importer in IMPORTERS.items():
        source = add(name, inspect.getdoc(importer) or f'The importer of {importer.__module__}.')
        source.add_argument('path', help='file or folder to import')
        add_output(source)
        add_storage(source)
        _add_imports(source, argparse.SUPPRESS)
        add_options(source, importer)
    toy = add('toy', 'The embedded data set of procedural motions.')
    toy.add_argument('--samples', type=int, default=1600, help='number of clips (default 1600)')
    toy.add_argument('--seed', type=seed, default=0, help='seed of the motions (default 0)')
    toy.add_argument('--raw', choices=['ntu', 'pkummd', 'cmu'], help="write raw files in this data set's format "
                     'to the folder --out instead, to try its importer')
    add_output(toy)
    for name in _CARE:
        module = _care(name)
        module.add_arguments(add(name, module.__doc__.strip()))


def _care(name: str):
    return importlib.import_module(f'mmskelssl.commands.{_CARE[name]}')


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that creates a store."""
    parser.add_argument('--out', required=True, metavar='STORE', help='folder to create')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing store')
    parser.add_argument('--strict', action='store_true', help='exit with status 1 if any sample was skipped')


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add the options of how an import stores the clips."""
    parser.add_argument('--storage', choices=['float32', 'float16', 'int16'], default='float32',
                        help='type of the stored numbers: float32 (default), float16, or int16 for millimetres; the '
                        'largest error is printed')
    parser.add_argument('--append', action='store_true', help='add the clips that the store --out does not have yet')
    parser.add_argument('--shard-size', type=int, metavar='MB', help='write shards of this size; by default, a store '
                        'of more than 512 MB has shards of 512 MB')


def run(args: argparse.Namespace) -> int | None:
    if args.command in _CARE:
        return _care(args.command).run(args)
    if args.command == 'toy':
        if args.raw:
            from mmskelssl.datasets.toy.raw import write_raw
            write_raw(args.raw, args.out, num_samples=args.samples, seed=args.seed)
            return None
        from mmskelssl.datasets.toy.store import write_toy_store
        write_toy_store(args.out, num_samples=args.samples, seed=args.seed, overwrite=args.overwrite)
    else:
        import_source(args)
    return report(args.out, args.strict)


def import_source(args: argparse.Namespace) -> None:
    """Import a data set with the importer ``args.command``."""
    from mmskelssl.datasets.importers import IMPORTERS
    from mmskelssl.datasets.importers.options import options_of
    from mmskelssl.datasets.store.writer import StoreWriter
    importer = IMPORTERS[args.command]
    options = options_of(importer, args)
    plain = {key: value for key, value in options.items() if key != 'jobs'}
    with StoreWriter(args.out, source=f'{args.command} {osp.abspath(args.path)}', options=plain,
                     overwrite=args.overwrite, resume=True, storage=args.storage,
                     shard_size=args.shard_size, append=args.append) as writer:
        importer(args.path, writer, **options)


def report(path: str, strict: bool) -> int:
    """Print a summary of an import and return the exit status."""
    from mmskelssl.datasets.importers import summary
    return summary.report(path, strict)
