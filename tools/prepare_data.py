"""Turn a data set into a store, and look after stores.

Examples:
  python tools/prepare_data.py toy --out data/toy
  python tools/prepare_data.py ntu60 nturgbd_skeletons_s001_to_s017.zip --out data/ntu60
  python tools/prepare_data.py pyskl nw_ucla.pkl --layout kinect20 --out data/nwucla
  python tools/prepare_data.py arrays FOLDER --layout kinect20 --out data/mine
  python tools/prepare_data.py verify data/nwucla
  python tools/prepare_data.py stats data/nwucla --plot lengths.png

An interrupted import continues where it stopped when the same command is given again.
"""
import argparse
import inspect
import os.path as osp
import sys
from collections import Counter
from collections.abc import Iterable

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.options import add_options, options_of
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True, metavar='SOURCE | COMMAND')

    def add(name: str, text: str, store: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text.partition('\n')[0], description=text,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
        if store:
            made.add_argument('--out', required=True, metavar='STORE', help='folder to make')
            made.add_argument('--overwrite', action='store_true', help='replace a store that is there')
            made.add_argument('--strict', action='store_true', help='exit with status 1 if any sample was skipped')
        return made

    for name, importer in IMPORTERS.items():
        source = add(name, inspect.getdoc(importer).partition('Args:\n')[0].strip())
        source.add_argument('path', help='file or folder to import')
        add_options(source, importer)
    toy = add('toy', 'Procedural motions, the embedded data set.')
    toy.add_argument('--samples', type=int, default=1600, help='number of clips (default 1600)')
    toy.add_argument('--seed', type=int, default=0, help='another seed, other clips (default 0)')
    toy.add_argument('--raw', choices=['ntu', 'pkummd', 'cmu'], help="write raw files in this data set's format "
                     'instead, to try its importer: --out is then the folder for them')
    verify = add('verify', 'Find every fault of a store; exit status 1 if training or measuring would be wrong with '
                 'one.', store=False)
    verify.add_argument('path', metavar='STORE')
    repair = add('repair', 'Repair what can be repaired into a new store: gaps, frames and persons without a body; the '
                 'rest is left out.')
    repair.add_argument('path', metavar='STORE')
    repair.add_argument('--drop-twins', action='store_true',
                        help='leave test samples out of their splits whose coordinates a training sample has too')
    stats = add('stats', 'Lengths, classes, persons, coordinate ranges and motion energy of a store.', store=False)
    stats.add_argument('path', metavar='STORE')
    stats.add_argument('--plot', metavar='FILE', help='picture to draw them into')
    merge = add('merge', 'One pool of several stores with one layout, for pre-training and transfer.')
    merge.add_argument('paths', nargs='+', metavar='STORE')
    return parser.parse_args()


@one_line_errors
def main() -> None:
    args = parse_args()
    if args.command in IMPORTERS:
        importer = IMPORTERS[args.command]
        options = options_of(importer, args)
        plain = {key: value for key, value in options.items() if key != 'jobs'}
        with StoreWriter(args.out, source=f'{args.command} {osp.abspath(args.path)}', options=plain,
                         overwrite=args.overwrite, resume=True) as writer:
            importer(args.path, writer, **options)
    elif args.command == 'toy':
        from mmskelssl.datasets.toy.store import write_toy_store
        if args.raw:
            from mmskelssl.datasets.toy.raw import write_raw
            write_raw(args.raw, args.out, num_samples=args.samples, seed=args.seed)
            return
        write_toy_store(args.out, num_samples=args.samples, seed=args.seed, overwrite=args.overwrite)
    elif args.command == 'verify':
        from mmskelssl.datasets.store.verify import print_report, verify
        sys.exit(print_report(verify(args.path)))
    elif args.command == 'stats':
        from mmskelssl.datasets.store.statistics import print_stats, store_stats
        stats = store_stats(args.path)
        print_stats(stats)
        if args.plot:
            from mmskelssl.visualization.stats import plot_stats
            plot_stats(stats, args.plot)
        return
    elif args.command == 'repair':
        from mmskelssl.datasets.store.repair import repair
        repair(args.path, args.out, args.drop_twins, args.overwrite)
    elif args.command == 'merge':
        from mmskelssl.datasets.store.merge import merge
        merge(args.paths, args.out, args.overwrite)
    report(args.out, args.strict)


def report(path: str, strict: bool) -> None:
    """What came of an import: imported, repaired, noted, skipped, each reason once with its count and first sample."""
    store = SkeletonStore(path)
    parts = {what: store.index['provenance'].get(what, []) for what in ('repaired', 'noted', 'skipped')}
    counts = ', '.join(f'{what} {len(entries)}' for what, entries in parts.items())
    print(f'{path}: imported {len(store)}, {counts}; '
          + ', '.join(f'{name} {len(ids)}' for name, ids in store.splits.items()))
    for what, entries in parts.items():
        for reason, (count, first) in reasons(entries):
            print(f'  {what} {count}: {reason} (first: {first})')
    if parts['skipped'] and strict:
        sys.exit(1)


def reasons(entries: Iterable[dict]) -> list[tuple[str, tuple[int, str]]]:
    """(reason, (how often, first sample)), the most frequent first."""
    entries = list(entries)
    first = {entry['reason']: entry['id'] for entry in reversed(entries)}
    counts = Counter(entry['reason'] for entry in entries)
    return [(reason, (count, first[reason])) for reason, count in counts.most_common(30)]


if __name__ == '__main__':
    main()
