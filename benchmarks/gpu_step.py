"""ActCLR's training step on a GPU: plain eager against ours in float32, bfloat16, compiled, and as CUDA graphs.

In these arms the views are already on the device. Two more include the data path before the step: ``host`` gathers each
batch from the mapped array and transfers it, ``resident`` gathers it on the device (``data.resident=device``). Both
draw the four views on the device. Without a GPU the same arms run at a small size on the CPU: all but ``bf16`` in
float32, without a CUDA graph, and compiled only with --compile. This only shows that the script works.

Examples:
  python benchmarks/gpu_step.py --out results/performance/gpu.json
  python benchmarks/gpu_step.py --batch 8 --rounds 1 --steps 1
"""
import argparse
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if 'OMP_WAIT_POLICY' not in os.environ:
    os.environ.setdefault('GOMP_SPINCOUNT', '10000')  # before torch is imported, as mmskelssl.threads does

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import results_file
from benchmarks.cases.actclr import VIEWS, check, config, draws
from benchmarks.cases.clips import build, clips
from benchmarks.cases.data_path import PIPELINE, make_dataset
from benchmarks.cases.data_path import views as published_views
from benchmarks.cases.steps import progress, sgd
from benchmarks.measure import count_work, machine
from benchmarks.reference.actclr import PlainActCLR
from mmskelssl.datasets import SkeletonDataset
from mmskelssl.engine.compiling import compile_model
from mmskelssl.errors import UserError, one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument('--device', default='cuda' if cuda else 'cpu')
    parser.add_argument('--batch', type=int, default=128 if cuda else 8)
    parser.add_argument('--rounds', type=int, default=10 if cuda else 1, help='of all arms in turn')
    parser.add_argument('--steps', type=int, default=20 if cuda else 1, help='of an arm in a round')
    parser.add_argument('--compile', action=argparse.BooleanOptionalAction, default=cuda,
                        help='arms with torch.compile of the encoders and of the whole loss (default on a GPU)')
    parser.add_argument('--out', metavar='FILE', help='write JSON')
    return parser.parse_args()


class Arm:
    """A model, its optimiser, and a step.

    Args:
        kind: ``plain``, ``fp32``, ``bf16``, ``compiled`` (the encoders), ``loss`` (the whole loss, compiled), ``graph``
            (the whole loss as CUDA graphs), ``host`` or ``resident``.
        views: On the device.
        dataset: Source of the clips for ``host`` and ``resident``.
    """

    def __init__(self, kind: str, views: dict[str, torch.Tensor], device: str, dataset: SkeletonDataset | None = None):
        self.kind, self.views, self.device, self.dataset, self.iteration = kind, views, device, dataset, 0
        self.bf16 = kind == 'bf16' or (device == 'cuda' and kind not in ('plain', 'fp32'))
        made = config()
        if dataset is not None:
            made['data_preprocessor']['views'] = published_views()
        self.ours = build(made).to(device)
        self.model = PlainActCLR(self.ours, .5).to(device) if kind == 'plain' else self.ours
        self.optimizer = sgd(self.model)
        if kind in ('compiled', 'loss', 'graph'):
            compile_model(self.model, 'encoders' if kind == 'compiled' else kind)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def read(self) -> dict[str, torch.Tensor]:
        """The views of the next batch."""
        if self.dataset is None:
            return self.views
        n = len(self.views['normal'])
        rows = torch.randint(len(self.dataset), (n,), generator=torch.Generator().manual_seed(self.iteration))
        return self.ours.data_preprocessor(self.dataset.__getitems__(rows.tolist()), True)['inputs']

    def step(self) -> None:
        """Data path if the arm has one, forward, backward, optimiser."""
        self.ours.set_progress(progress(self.iteration))
        views = self.read()
        self.iteration += 1
        n, _, frames = views['normal'].shape[:3]
        with self.autocast():
            if self.kind == 'plain':
                loss = self.model(views, draws(self.ours, n, frames, self.device))
            else:
                losses = self.model.loss(views, {})
                loss = sum(value for name, value in losses.items() if 'loss' in name)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def timed(function, device: str) -> float:
    """Seconds until the device has finished."""
    if device != 'cuda':
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def device_peaks(device: str, size: int | None = None) -> dict[str, float]:
    """FLOP/s of a large product of matrices with edge ``size``, bytes/s of a large copy."""
    size = size or (8192 if device == 'cuda' else 1024)
    made, words = {}, size << (17 if device == 'cuda' else 15)
    for name, dtype in (('float32', torch.float32), ('bfloat16', torch.bfloat16)):
        a = torch.randn(size, size, device=device, dtype=dtype)
        made[name] = 2 * size ** 3 / min(timed(lambda a=a: a @ a, device) for _ in range(5))
    source = torch.empty(words, device=device)
    target = torch.empty_like(source)
    made['copy'] = 8 * words / min(timed(lambda: target.copy_(source), device) for _ in range(5))
    return made


def run(arms: dict[str, Arm], rounds: int, steps: int, device: str) -> dict[str, list[float]]:
    """Seconds per step: all arms in turn, ``rounds`` times."""
    times: dict[str, list[float]] = {kind: [] for kind in arms}
    for _ in range(rounds):
        for kind, arm in arms.items():
            times[kind].append(timed(lambda arm=arm: [arm.step() for _ in range(steps)], device) / steps)
    return times


def result(kind: str, arm: Arm, times: dict[str, list[float]], work: tuple[float, float],
           peaks: dict[str, float]) -> dict:
    """Figures of one arm.

    Args:
        work: FLOPs of a step in float32, and bytes that its operators move one by one (half of them in bfloat16).
            The roofline is the larger of the times that both take at the machine's peaks.
    """
    took, memory = statistics.median(times[kind]), None
    if arm.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        arm.step()
        memory = torch.cuda.max_memory_allocated() / 2 ** 20
    precision = 'bfloat16' if arm.bf16 else 'float32'
    ratio = statistics.median(a / b for a, b in zip(times[kind], times['plain'], strict=True))
    flops, moved = work[0], work[1] / (2 if arm.bf16 else 1)
    roofline = max(flops / peaks[precision], moved / peaks['copy'])
    return dict(arm=kind, ratio=ratio, ms=1000 * took, samples_per_s=len(arm.views['normal']) / took, peak_mb=memory,
                tflops=flops / took / 1e12, gb_per_s=moved / took / 1e9, share_of_peak=flops / took / peaks[precision],
                over_roofline=took / roofline)


COLUMNS = ('arm', 'ratio', 'ms a step', 'samples/s', 'peak MB', 'TFLOP/s', 'GB/s', 'over the roofline')


def row(result: dict) -> list[str]:
    """Cells of the table."""
    return [result['arm'], f'{result["ratio"]:.2f}', f'{result["ms"]:.1f}', f'{result["samples_per_s"]:.2f}',
            f'{result["peak_mb"]:.0f}' if result['peak_mb'] else '', f'{result["tflops"]:.2f}',
            f'{result["gb_per_s"]:.1f}', f'{result["over_roofline"]:.1f} x']


@one_line_errors
def main() -> None:
    args = parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: torch finds no GPU on this machine; use --device cpu')
    if args.device == 'cpu':
        torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    parity = check()
    if parity > 1e-10:
        raise UserError(f'the arms differ by {parity:.1e} in float64: nothing is timed')
    views = {name: clips(args.batch, 50, absent=.8, seed=i).to(args.device) for i, name in enumerate(VIEWS)}
    kinds = ['plain', 'fp32', 'bf16', *(['compiled', 'loss'] if args.compile else []),
             *(['graph'] if args.device == 'cuda' else [])]
    arms = {kind: Arm(kind, views, args.device) for kind in kinds}
    folder = tempfile.TemporaryDirectory()
    host = make_dataset(folder.name, 8 * args.batch)
    held = SkeletonDataset(host.store.path, 'all', PIPELINE, resident='device')
    arms |= {kind: Arm(kind, views, args.device, dataset) for kind, dataset in (('host', host), ('resident', held))}
    for arm in arms.values():  # warm up, and let compilers and cuDNN choose kernels
        for _ in range(20 if args.device == 'cuda' else 1):
            arm.step()
    work, peaks = count_work(arms['fp32'].step), device_peaks(args.device)
    times = run(arms, args.rounds, args.steps, args.device)
    results = [result(kind, arm, times, work, peaks) for kind, arm in arms.items()]
    table = Table(*COLUMNS)
    for made in results:
        table.add_row(*row(made))
    Console().print(table)
    if args.out:
        name = torch.cuda.get_device_name() if args.device == 'cuda' else machine()['cpu']
        results_file.write(args.out, results, parity=parity, batch=args.batch, device=name, peaks=peaks,
                           flops_a_step=work[0], bytes_a_step=work[1], torch=torch.__version__)


if __name__ == '__main__':
    main()
