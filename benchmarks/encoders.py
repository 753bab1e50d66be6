"""Cost of the encoders, and of the invariant stream, on the same clips: a step of SimCLR and features, on one core.

The clips have the shape of NW-UCLA's: 20 joints, 32 frames, one person. A step includes the preparation of both views,
the backward pass and the optimiser. Times are processor times, so that other processes on the machine count little.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/encoders.py --out results/performance/encoders.json
  OMP_NUM_THREADS=1 python benchmarks/encoders.py --only "SkeletonViT tiny" --repeats 1
"""
import argparse
import os
import statistics
import sys
from collections.abc import Callable

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch

from benchmarks import results_file
from benchmarks.cases.clips import build, clips
from benchmarks.measure import machine, seconds
from mmskelssl.errors import one_line_errors
from mmskelssl.models.preprocessor import SkeletonPreprocessor

LAYOUT, JOINTS, FRAMES = 'kinect20', 20, 32
CONVOLUTION = dict(type='TemporalConvNet', channels=(128, 128, 256, 256))
# Name -> backbone and options of the preprocessor.
ENCODERS: dict[str, tuple[dict, dict]] = {
    'TemporalConvNet': (CONVOLUTION, {}),
    'TemporalConvNet, invariant stream': (CONVOLUTION, dict(stream='invariant')),
    'STGCN': (dict(type='STGCN', hidden_channels=16, out_channels=128, adjacency='agcn', dropout=0.), {}),
    **{f'SkeletonViT {size}': (dict(type='SkeletonViT', size=size, segment=4), {})
       for size in ('tiny', 'small', 'base')},
}
COLUMNS = ('encoder', 'parameters', 'step, ms per clip', 'features, ms per clip', 'step / TemporalConvNet')


def measure(name: str, count: int, repeats: int) -> dict:
    """Measure an encoder on ``count`` clips. The first repetition does not count."""
    backbone, given = ENCODERS[name]
    preprocessor = dict(type='SkeletonPreprocessor', layout=LAYOUT, views=dict(first=[], second=[]), **given)
    channels = SkeletonPreprocessor.channels(3, stream=given.get('stream', 'joint'))
    model = build(dict(type='SimCLR', backbone=dict(backbone, layout=LAYOUT, in_channels=channels), temperature=.2,
                       data_preprocessor=preprocessor))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    batch = dict(inputs=clips(count, FRAMES, persons=1, joints=JOINTS))

    def step():
        total, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    @torch.no_grad()
    def features():
        return model.extract_feat(model.data_preprocessor(batch)['inputs'])

    def each(function: Callable[[], object]) -> float:
        return statistics.median([seconds(function) for _ in range(1 + repeats)][1:]) / count
    made = dict(id=name, parameters=sum(p.numel() for p in model.backbone.parameters()), clips=count,
                step_s=each(step))
    model.eval()
    return dict(made, feature_s=each(features))


def compared(results: list[dict]) -> list[dict]:
    """Add the ratio of each step to that of the first encoder, if it was measured."""
    first = next((result['step_s'] for result in results if result['id'] == next(iter(ENCODERS))), None)
    return [dict(result, ratio=result['step_s'] / first if first else None) for result in results]


def row(result: dict) -> list[str]:
    """Cells of the table."""
    ratio = result.get('ratio')
    return [result['id'], f'{result["parameters"]:,}', f'{1000 * result["step_s"]:.3g}',
            f'{1000 * result["feature_s"]:.3g}', f'{ratio:.3g}' if ratio else '']


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=ENCODERS, default=[*ENCODERS], metavar='NAME',
                        help=f'some of {", ".join(ENCODERS)}; default all')
    parser.add_argument('--clips', type=int, default=16, help='clips of a step (default 16)')
    parser.add_argument('--repeats', type=int, default=5, help='repetitions that count (default 5)')
    parser.add_argument('--out', metavar='FILE', help='write JSON')
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = compared([measure(name, args.clips, args.repeats) for name in args.only])
    print(results_file.markdown(COLUMNS, map(row, results)), end='')
    if args.out:
        results_file.write(args.out, results, machine=machine(), torch=torch.__version__)


if __name__ == '__main__':
    main()
