"""Turn a data set into a store.

Examples:
  python tools/prepare_data.py toy --out data/toy
  python tools/prepare_data.py pyskl nw_ucla.pkl --layout kinect20 --out data/nwucla
  python tools/prepare_data.py nwucla FOLDER_OF_JSON --out data/nwucla
"""
import argparse
import sys
from collections import Counter

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.store import SkeletonStore
from mmskelssl.datasets.store_writer import StoreWriter
from mmskelssl.errors import one_line_errors
from mmskelssl.layouts import LAYOUTS


def joint_list(text: str) -> list[int]:
    """``6,3,2`` -> [6, 3, 2]."""
    return [int(joint) for joint in text.split(',')]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sources = parser.add_subparsers(dest='source', required=True, metavar='SOURCE')
    toy = sources.add_parser('toy', help='procedural motions, the embedded data set')
    toy.add_argument('--samples', type=int, default=1600, help='number of clips (default 1600)')
    toy.add_argument('--seed', type=int, default=0, help='another seed, other clips (default 0)')
    pyskl = sources.add_parser('pyskl', help='annotation pickle of pyskl or mmaction2')
    pyskl.add_argument('--layout', required=True, choices=sorted(LAYOUTS), help='skeleton layout of the file')
    pyskl.add_argument('--joints', type=joint_list, metavar='I,J,...',
                       help="the file's joint for each joint of the layout, in its order; default as they are")
    pyskl.add_argument('--units', default='m', help='of the coordinates, such as m or normalised (default m)')
    nwucla = sources.add_parser('nwucla', help='folder of NW-UCLA raw JSON files')
    for source in (pyskl, nwucla):
        source.add_argument('path', help='file or folder to import')
        source.add_argument('--strict', action='store_true', help='exit with status 1 if any sample was skipped')
    for source in (toy, pyskl, nwucla):
        source.add_argument('--out', required=True, metavar='STORE', help='folder to make')
        source.add_argument('--overwrite', action='store_true', help='replace a store that is there')
    return parser.parse_args()


@one_line_errors
def main() -> None:
    args = parse_args()
    if args.source == 'toy':
        from mmskelssl.datasets.toy import write_toy_store
        write_toy_store(args.out, num_samples=args.samples, seed=args.seed, overwrite=args.overwrite)
    else:
        with StoreWriter(args.out, layout=getattr(args, 'layout', 'kinect20'), units=getattr(args, 'units', 'm'),
                         source=f'{args.source} {args.path}', overwrite=args.overwrite,
                         options={key: value for key, value in vars(args).items() if key not in ('out', 'overwrite')},
                         ) as writer:
            options = dict(joints=args.joints) if args.source == 'pyskl' else {}
            IMPORTERS[args.source](args.path, writer, **options)
    store = SkeletonStore(args.out)
    skipped = store.index['provenance']['skipped']
    print(f'{args.out}: imported {len(store)}, skipped {len(skipped)}; '
          + ', '.join(f'{name} {len(ids)}' for name, ids in store.splits.items()))
    for reason, count in Counter(entry['reason'] for entry in skipped).most_common():
        first = next(entry['id'] for entry in skipped if entry['reason'] == reason)
        print(f'  skipped {count}: {reason} (first: {first})')
    if skipped and getattr(args, 'strict', False):
        sys.exit(1)


if __name__ == '__main__':
    main()
