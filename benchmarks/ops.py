"""Measure each fast path of mmskelssl/ops against the plain implementation next to it, in turn, on one thread.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/ops.py --quick
  OMP_NUM_THREADS=1 python benchmarks/ops.py --only temporal_conv dropout
  OMP_NUM_THREADS=1 python benchmarks/ops.py --out results/performance/ops.json

Sizes are those of the shipped configs. tests/ops compares values and gradients. benchmarks/tables.py writes the table
of docs/performance.md.
"""
import argparse
import os
import sys
from collections.abc import Callable
from functools import partial

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from benchmarks import results_file
from benchmarks.cases.crrl import lengths_like_ntu
from benchmarks.measure import Case, machine, paired
from mmskelssl.errors import one_line_errors
from mmskelssl.models.backbones.vit import rotations
from mmskelssl.ops.absent import encode_persons, plain_encode_persons
from mmskelssl.ops.batch_norm import conv_norm, plain_conv_norm
from mmskelssl.ops.dropout import dropout
from mmskelssl.ops.graph_conv import graph_conv, plain_graph_conv
from mmskelssl.ops.grouped_gru import bidirectional_gru, plain_gru, plain_run_by_length, run_by_length
from mmskelssl.ops.neighbours import nearest, plain_nearest
from mmskelssl.ops.queue_kl import plain_queue_similarity_kl, queue_similarity_kl
from mmskelssl.ops.rotary import heads_of, plain_heads
from mmskelssl.ops.selection import largest, plain_largest
from mmskelssl.ops.temporal_conv import plain_temporal_conv, temporal_conv
from mmskelssl.registry import MODELS

Pair = tuple[Callable[[], object], Callable[[], object]]


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def maps(channels: int, frames: int, bodies: int = 64) -> torch.Tensor:
    """(B, C, T, 25), channels last in memory, as they are inside the encoder."""
    return rand(bodies, channels, frames, 25).contiguous(memory_format=torch.channels_last)


def both_ways(fast: Callable, plain: Callable, inputs: list[torch.Tensor], *options) -> Pair:
    """Forward and backward of each side."""
    inputs = [x.requires_grad_() for x in inputs]

    def side(function):
        def run():
            out = function(*inputs, *options)
            torch.autograd.grad(out, inputs, torch.ones_like(out))
        return run
    return side(fast), side(plain)


def forward(fast: Callable, plain: Callable, *inputs) -> Pair:
    """Forward of each side, without gradient."""
    def side(function):
        def run():
            with torch.no_grad():
                function(*inputs)
        return run
    return side(fast), side(plain)


def temporal(channels: int, frames: int, stride: int = 1) -> Pair:
    return both_ways(temporal_conv, plain_temporal_conv,
                     [maps(channels, frames), rand(channels, channels, 9, 1), rand(channels)], stride, 4)


def graph(channels: int, frames: int, out_channels: int, half: bool = False) -> Pair:
    def side(function):
        return torch.autocast('cpu', torch.bfloat16)(function) if half else function
    return both_ways(side(graph_conv), side(plain_graph_conv),
                     [maps(channels, frames), rand(3, 25, 25), rand(3 * out_channels, channels, 1, 1),
                      rand(3 * out_channels)])


def folding(channels: int, frames: int) -> Pair:
    conv, norm = nn.Conv2d(channels, channels, (9, 1), padding=(4, 0)), nn.BatchNorm2d(channels).eval()
    options = conv, norm, partial(temporal_conv, padding=4)
    return forward(lambda x: conv_norm(x, *options), lambda x: plain_conv_norm(x, *options), maps(channels, frames))


def absent() -> Pair:
    net = MODELS.build(dict(type='STGCN', layout='ntu25')).eval()
    persons = rand(64, 50, 75)
    persons[:24] = 0
    return forward(lambda x: encode_persons(net.encode, x), lambda x: plain_encode_persons(net.encode, x), persons)


def rotary() -> Pair:
    options = nn.Linear(128, 384), 4, rotations(torch.arange(400.)[None], 32, torch.float32), 2

    def side(function):
        def run(x):  # the gradients of attention have the channels last
            return torch.stack([part.transpose(1, 2) for part in function(x, *options)])
        return run
    return both_ways(side(heads_of), side(plain_heads), [rand(16, 400, 128)])


def queue_losses() -> Pair:
    queries, (key, mixed) = [F.normalize(x, dim=1).requires_grad_() for x in rand(3, 32, 128)], rand(2, 32, 128)
    key, mixed, negatives = (F.normalize(x, dim=1) for x in (key, mixed, rand(65536, 128)))

    def side(function, snapshot):
        def run():
            made = function(queries, (key, key, mixed), snapshot().t())
            torch.autograd.grad(sum(made), queries)
        return run
    # The plain path needs the queue as it was until the backward pass: a copy.
    return side(queue_similarity_kl, lambda: negatives), side(plain_queue_similarity_kl, negatives.clone)


def gru() -> Pair:
    net = nn.GRU(150, 256, 2, batch_first=True, bidirectional=True, dropout=.2)
    lengths = lengths_like_ntu(32, 300)
    return both_ways(lambda x: bidirectional_gru(net, x, lengths), lambda x: plain_gru(net, x, lengths),
                     [rand(32, 300, 150)])


def decoder() -> Pair:
    net, lengths = nn.GRU(512, 150, 2, batch_first=True), lengths_like_ntu(64, 300)

    def function(rows, _, longest):
        return net(rows.unsqueeze(1).expand(-1, longest, -1))[0]
    return both_ways(lambda x: run_by_length(function, x, lengths, 300),
                     lambda x: plain_run_by_length(function, x, lengths, 300), [rand(64, 512)])


# id -> what is measured, and how to make both sides.
OPS: dict[str, tuple[str, Callable[[], Pair]]] = {
    'temporal_conv.16': ('9x1 convolution, 16 channels, 50 frames', lambda: temporal(16, 50)),
    'temporal_conv.32': ('9x1 convolution, 32 channels, 25 frames', lambda: temporal(32, 25)),
    'temporal_conv.64': ('9x1 convolution, 64 channels, 13 frames', lambda: temporal(64, 13)),
    'temporal_conv.256': ('9x1 convolution, 256 channels, 13 frames', lambda: temporal(256, 13)),
    'temporal_conv.wide': ('9x1 convolution, 64 channels, 64 frames (SkeAttnCLR)', lambda: temporal(64, 64)),
    'temporal_conv.stride': ('9x1 convolution, 128 channels, 64 frames, stride 2', lambda: temporal(128, 64, 2)),
    'graph_conv.3': ('graph convolution, 3 to 16 channels, 50 frames', lambda: graph(3, 50, 16)),
    'graph_conv.16': ('graph convolution, 16 to 16 channels, 50 frames', lambda: graph(16, 50, 16)),
    'graph_conv.256': ('graph convolution, 64 to 256 channels, 13 frames', lambda: graph(64, 13, 256)),
    'graph_conv.half': ('graph convolution, 16 to 16 channels, 50 frames, bfloat16', lambda: graph(16, 50, 16, True)),
    'dropout': ('dropout of 0.5, 16 channels, 50 frames', lambda: both_ways(
        lambda x: dropout(x, .5), lambda x: F.dropout(x, .5), [maps(16, 50)])),
    'batch_norm.16': ('9x1 convolution and batch norm in eval, 16 channels, 50 frames', lambda: folding(16, 50)),
    'batch_norm.64': ('9x1 convolution and batch norm in eval, 64 channels, 13 frames', lambda: folding(64, 13)),
    'absent': ('ST-GCN in eval, 24 of 64 persons absent', absent),
    'rotary': ('projection to heads with rotary time, 16 persons, 400 tokens of 128 channels', rotary),
    'queue_kl': ("ActCLR's three queue losses, 32 queries, queue of 65,536, 8,192 nearest", queue_losses),
    'selection': ('8,192 largest of 65,536, 32 rows', lambda: forward(largest, plain_largest, rand(32, 65536), 8192)),
    'neighbours.1': ('nearest of 40,091, 180 rows', lambda: forward(nearest, plain_nearest, rand(180, 40091), 1)),
    'neighbours.40': ('40 nearest of 40,091, 180 rows', lambda: forward(nearest, plain_nearest, rand(180, 40091), 40)),
    'neighbours.small': ('20 nearest of 1,020, 1,000 rows (NW-UCLA)', lambda: forward(
        nearest, plain_nearest, rand(1000, 1020), 20)),
    'grouped_gru.encoder': ('BiGRU, 32 clips of 8 to 300 frames', gru),
    'grouped_gru.decoder': ('GRU decoder, 64 sequences of 8 to 300 frames', decoder)}


def chosen(names: list[str] | None) -> list[str]:
    """Ids that are one of the names, or begin with one and a dot."""
    return [op for op in OPS if not names or op in names or op.split('.')[0] in names]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', metavar='OP', help=f'ids, or the part before the dot: {", ".join(OPS)}')
    parser.add_argument('--pairs', type=int, default=15, help='repetitions of both sides (%(default)s)')
    parser.add_argument('--quick', action='store_true', help='two pairs each, to check that everything runs')
    parser.add_argument('--out', metavar='FILE', help='write JSON; results of other ids in the file are kept')
    args = parser.parse_args()
    for name in args.only or ():
        if not chosen([name]):
            parser.error(f'unknown op {name}: choose from {", ".join(OPS)}')
    return args


def measure(op: str, pairs: int) -> dict:
    """Time both sides of one path."""
    title, make = OPS[op]
    torch.manual_seed(0)
    fast, plain = make()
    times = paired(Case(fast, plain), pairs)
    return dict(id=op, title=title, ratio=times['ratio'], spread=times['spread'], pairs=times['pairs'],
                fast_s=times['ours_s'], plain_s=times['reference_s'])


COLUMNS = ('id', 'what', 'fast / plain', 'quartiles', 'fast ms', 'plain ms')


def row(result: dict) -> list[str]:
    """Cells of the table."""
    return [result['id'], result['title'], f'{result["ratio"]:.2f}', '{:.2f} .. {:.2f}'.format(*result['spread']),
            f'{1000 * result["fast_s"]:.3g}', f'{1000 * result["plain_s"]:.3g}']


@one_line_errors
def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    results, console = [], Console()
    table = Table(*COLUMNS)
    for op in chosen(args.only):
        with console.status(f'{op}: {OPS[op][0]}'):
            made = measure(op, 2 if args.quick else args.pairs)
        results.append(made)
        table.add_row(*row(made))
    console.print(table)
    if args.out:
        results_file.update(args.out, results, OPS, machine=machine(), versions=dict(torch=torch.__version__))


if __name__ == '__main__':
    main()
