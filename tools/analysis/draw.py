"""Draw what a run and a store hold.

Examples:
  python tools/analysis/draw.py curves work_dirs/quickstart --out curves.png
  python tools/analysis/draw.py classes data/toy --out classes.png
  python tools/analysis/draw.py clip data/toy --sample S001C002P001R001A001 --out wave.gif
"""
import argparse

from mmskelssl.datasets.store import SkeletonStore
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.visualization import contact_sheet, draw_clip
from mmskelssl.visualization.curves import plot_curves


def draw_classes(path: str, out: str) -> None:
    """One clip of each class on a sheet."""
    store = SkeletonStore(path)
    first = {int(label): i for i, label in reversed(list(enumerate(store.labels)))}
    names = store.classes or [str(label) for label in range(max(first) + 1)]
    contact_sheet([(names[label] if label >= 0 else 'no label', store.keypoints(i))
                   for label, i in sorted(first.items())], store.layout, out)


def draw_sample(path: str, sample: str | None, out: str) -> None:
    """A clip as a strip (.png) or an animation (.gif, .mp4)."""
    store = SkeletonStore(path)
    sample = sample or store.ids[0]
    if sample not in store.positions:
        raise UserError(f'{path} has no sample {sample!r}; the first is {store.ids[0]!r}')
    draw_clip(store.keypoints(store.positions[sample]), store.layout, out, title=sample)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['curves', 'classes', 'clip'])
    parser.add_argument('path', help='work_dir (curves) or store')
    parser.add_argument('--out', required=True, help='picture: .png; for a clip also .gif or .mp4')
    parser.add_argument('--sample', help='id of the clip; default the first')
    args = parser.parse_args()
    if args.what == 'curves':
        plot_curves(args.path, args.out)
    elif args.what == 'classes':
        draw_classes(args.path, args.out)
    else:
        draw_sample(args.path, args.sample, args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
