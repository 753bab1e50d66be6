"""What each method costs on NW-UCLA: CPU minutes of its recipe on one core, and a picture of accuracy against them.

Some steps of each stage of configs/*_nwucla.py are measured with its batch, views and optimiser, on clips of the store,
and multiplied by the steps of its schedule. Evaluations during training do not count. Times are processor times, so
that other processes on the machine count little. All methods are measured on one machine, unlike the trainings.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/method_cost.py --data data/nwucla --out results/performance/method_cost.json
  OMP_NUM_THREADS=1 python benchmarks/method_cost.py --data data/nwucla --only simclr byol --repeats 1
  python benchmarks/method_cost.py --draw docs/images/cost.png
"""
import argparse
import json
import logging
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import track

from benchmarks import results_file
from benchmarks.measure import machine, seconds
from mmskelssl.engine.config import complete, load_config
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.models.base import Progress
from mmskelssl.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'results'
METHODS = sorted(path.name.removesuffix('_nwucla.py') for path in (ROOT / 'configs').glob('*_nwucla.py')
                 if path.name not in ('crrlmotion_nwucla.py', 'mampmasked_nwucla.py'))  # stages of others
# Folders of results, of which the joint stream of seed 0 is drawn.
MEASURED = ('nwucla', 'nwucla_without_negatives', 'nwucla_masked', 'nwucla_slim')
SPLIT, RECIPE = 'test_clean', 'logreg'
# Where a name may stand, in points from its dot.
PLACES = ((7, 0), (-7, 0), (0, 9), (0, -9), (7, 9), (7, -9), (-7, 9), (-7, -9), (0, 18), (0, -18))
COLUMNS = ('stages', 'encoder', 'steps x seconds', 'CPU minutes')


def measure(method: str, store: str, repeats: int) -> dict:
    """Measure the recipe of a method. The first step of each stage does not count."""
    stages = []
    for _, cfg in load_config(str(ROOT / f'configs/{method}_nwucla.py')):
        cfg.data.store = store
        cfg, _ = complete(cfg)
        stages.append(dict(method=cfg.model.type, **measure_stage(cfg, repeats)))
    return dict(id=method, encoder=cfg.model.backbone.type, stages=stages,
                minutes=sum(stage['steps'] * stage['step_s'] for stage in stages) / 60)


def measure_stage(cfg: Config, repeats: int) -> dict:
    """Return the steps of a complete config, and the processor time of one."""
    with DefaultScope.overwrite_default_scope('mmskelssl'):
        torch.manual_seed(0)
        loader = Runner.build_dataloader(dict(cfg.train_dataloader, num_workers=0, persistent_workers=False,
                                              pin_memory=False, prefetch_factor=None), seed=0)
        model = MODELS.build(cfg.model).train()
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batches = [batch for batch, _ in zip(loader, range(1 + repeats), strict=False)]

    def step(i: int) -> float:
        model.set_progress(Progress(0, i, 1000))
        return seconds(lambda: model.train_step(batches[i % len(batches)], wrapper))
    return dict(steps=len(loader) * cfg.train_cfg.max_epochs,
                step_s=statistics.median([step(i) for i in range(1 + repeats)][1:]))


def title(result: dict) -> str:
    """Return the methods of the stages, in order."""
    return ', '.join(stage['method'] for stage in result['stages'])


def row(result: dict) -> list[str]:
    """Cells of the table."""
    stages = ', '.join(f'{stage["steps"]} x {stage["step_s"]:.2g}' for stage in result['stages'])
    return [title(result), result['encoder'], stages, f'{result["minutes"]:.0f}']


def accuracies() -> dict[str, float]:
    """Return the top-1 of each trained method, and of each untrained encoder, from the committed results."""
    found = {}
    for folder in MEASURED:
        for file in sorted((RESULTS / folder).rglob('results.json')):
            for one in json.loads(file.read_text(encoding='utf-8'))['results']:
                if (one['split'], one['recipe'], one['stream'], one['pretrain_seed']) == (SPLIT, RECIPE, 'joint', 0):
                    untrained = one['encoder'] == 'untrained'
                    found.setdefault(f'untrained {one["backbone"]}' if untrained else one['method'], one['top1'])
    return found


def draw(results: list[dict], path: str) -> None:
    """Draw the accuracy of each method over its CPU minutes, with a colour for each encoder."""
    top1 = accuracies()
    encoders = list(dict.fromkeys(result['encoder'] for result in results))
    figure = Figure(figsize=(9, 5), layout='constrained')
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    points = []
    for result in results:
        method = result['stages'][-1]['method']
        if method in top1:
            points.append((title(result), result['minutes'], top1[method]))
            axis.scatter(*points[-1][1:], s=36, color=f'C{encoders.index(result["encoder"])}', zorder=3)
    for i, encoder in enumerate(encoders):
        axis.scatter([], [], color=f'C{i}', label=encoder)
        if f'untrained {encoder}' in top1:
            axis.axhline(top1[f'untrained {encoder}'], color=f'C{i}', linestyle=':', linewidth=1.2)
    axis.plot([], [], color='grey', linestyle=':', label='untrained')
    axis.set(xlim=(0, None), xlabel='CPU minutes of training, one core',
             ylabel='top-1 %, NW-UCLA test_clean, logreg')
    axis.grid(alpha=.3)
    axis.legend(fontsize='small', loc='lower right')
    figure.canvas.draw()  # the axes get their final place
    _label(axis, points)
    figure.savefig(path, dpi=110)


def _label(axis, points: list[tuple[str, float, float]]) -> None:
    """Write the names of points next to them, where they cover neither another name nor another point."""
    taken = [axis.transData.transform(point[1:]) + side for point in points for side in ((-4, -4), (4, 4))]
    boxes = [Bbox(taken[i:i + 2]) for i in range(0, len(taken), 2)]
    for i, (name, *at) in enumerate(points):
        for x, y in PLACES:
            text = axis.annotate(name, at, (x, y), textcoords='offset points', fontsize='small', va='center',
                                 ha='left' if x > 0 else 'right' if x < 0 else 'center')
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in boxes[:i] + boxes[i + 1:]) and box.x1 < axis.bbox.x1:
                break
            text.set_visible((x, y) == PLACES[-1])
        boxes.append(box)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', metavar='STORE', help='store of NW-UCLA (docs/data.md)')
    parser.add_argument('--only', nargs='+', choices=METHODS, default=METHODS, metavar='METHOD',
                        help=f'some of {", ".join(METHODS)}; default all')
    parser.add_argument('--repeats', type=int, default=3, help='steps of each stage that count (default 3)')
    parser.add_argument('--out', metavar='FILE',
                        help='write JSON; needs all methods, so that one machine measures them')
    parser.add_argument('--draw', metavar='PNG', help='draw the committed results, without measuring')
    args = parser.parse_args()
    if bool(args.draw) == bool(args.data):
        raise UserError('give either --data, to measure, or --draw')
    if args.out and set(args.only) < set(METHODS):
        raise UserError('--out needs all methods, so that one machine measures them: leave out --only')
    if args.draw:
        draw(results_file.read(str(RESULTS / 'performance/method_cost.json'))['results'], args.draw)
        return
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # a line for each parameter with options of its own
    results = [measure(name, args.data, args.repeats) for name in track(args.only, console=Console(stderr=True))]
    print(results_file.markdown(COLUMNS, map(row, results)), end='')
    if args.out:
        results_file.write(args.out, results, machine=machine(), torch=torch.__version__)


if __name__ == '__main__':
    main()
