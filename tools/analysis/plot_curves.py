"""Draw a run's curves: losses, nearest neighbours, spread of the features.

Example:
  python tools/analysis/plot_curves.py work_dirs/quickstart --out curves.png
"""
import argparse

from mmskelssl.errors import one_line_errors
from mmskelssl.visualization.curves import plot_curves


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir')
    parser.add_argument('--out', required=True, help='picture: .png')
    args = parser.parse_args()
    plot_curves(args.work_dir, args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
