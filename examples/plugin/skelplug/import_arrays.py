"""Your own arrays as a store: an npz file with one clip (M, T, V, C) or (T, V, C) per name.

Names such as ``wave__03`` start with the class, up to the double underscore. Other clips have no label.

Example:
  python examples/plugin/skelplug/import_arrays.py clips.npz --layout kinect20 --out data/mine
"""
import argparse
import os

import numpy as np

from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.layouts import LAYOUTS, get_layout


def import_arrays(path: str, writer: StoreWriter) -> None:
    """Put every fourth clip of the file, in its order, into ``test``, and the others into ``train``."""
    with np.load(path, allow_pickle=False) as file:
        classes = sorted({name.split('__')[0] for name in file.files if '__' in name})
        writer.index['classes'] = classes
        for name in file.files:
            clip = file[name]
            label = classes.index(name.split('__')[0]) if '__' in name else None
            try:
                writer.add(name, clip if clip.ndim == 4 else clip[None], label)
            except ValueError as error:  # a UserError says what is wrong with the clip
                writer.skip(name, str(error))
    ids = [sample['id'] for sample in writer.samples]
    writer.set_split('test', ids[3::4])
    writer.set_split('train', [name for name in ids if name not in set(ids[3::4])])


def write_example(path: str, layout: str, clips: int = 40) -> None:
    """Write an npz file of random walks, to try this out."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    rng, joints = np.random.default_rng(0), get_layout(layout).num_joints
    np.savez(path, **{f'{("slow", "fast")[i % 2]}__{i:02d}': rng.normal(
        0, .01 + .02 * (i % 2), (int(rng.integers(20, 40)), joints, 3)).cumsum(0).astype(np.float32) + rng.normal(
            0, .3, (joints, 3)).astype(np.float32) for i in range(clips)})


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('path', help='npz file')
    parser.add_argument('--layout', required=True, choices=sorted(LAYOUTS))
    parser.add_argument('--out', required=True, metavar='STORE')
    parser.add_argument('--example', action='store_true', help='write random clips to PATH first')
    args = parser.parse_args()
    if args.example:
        write_example(args.path, args.layout)
    if not os.path.isfile(args.path):
        raise UserError(f'{args.path}: no such file; --example writes one to try this out')
    with StoreWriter(args.out, layout=args.layout, source=f'arrays {args.path}') as writer:
        import_arrays(args.path, writer)
    print(f'{args.out}: imported {len(writer.samples)}, skipped {len(writer.skipped)}')


if __name__ == '__main__':
    main()
