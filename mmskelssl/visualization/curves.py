"""Plot the curves of a run: loss, accuracy and collapse metrics."""
import glob
import json
import os.path as osp
from collections import defaultdict
from collections.abc import Collection, Iterable

from mmskelssl.errors import UserError

# Title, scalars to draw, label of the y axis.
PANELS = (('loss', ('loss',), ''),
          ('nearest neighbours', ('val/knn_top1', 'val/knn20_top1'), 'top-1 %'),
          ('in-batch top-1', ('batch_top1', 'val/batch_top1'), '%'),
          ('feature std (0: collapsed)', ('val/feature_std',), ''),
          ('effective rank (1: collapsed)', ('val/effective_rank',), ''),
          ('mean cosine, different clips (1: collapsed)', ('val/mean_cosine', 'batch_cosine'), ''))


def read_scalars(work_dir: str) -> dict[str, dict[str, dict[int, float]]]:
    """Read the logged scalars of a work_dir as stage -> name -> iteration -> value.

    A stage is a folder that contains runs, each in a folder named after its start. Stages are in the order in which
    they began. If a run was resumed, later values replace earlier ones.
    """
    pattern = osp.join(glob.escape(work_dir), '**', 'vis_data', 'scalars.json')
    files = sorted(filter(osp.isfile, glob.glob(pattern, recursive=True)),  # a pipe would block
                   key=lambda path: (osp.basename(osp.dirname(osp.dirname(path))), path))
    if not files:
        raise UserError(f'{work_dir}: no vis_data/scalars.json found in this folder; give the work_dir of a run')
    stages: dict = defaultdict(lambda: defaultdict(dict))
    for path in files:
        # work_dir/STAGE/TIMESTAMP/vis_data/scalars.json
        stage = osp.relpath(osp.dirname(osp.dirname(osp.dirname(path))), work_dir)
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file:
                try:
                    scalars = json.loads(line)
                    step = int(scalars.pop('step'))
                    numbers = {name: float(value) for name, value in scalars.items() if isinstance(value, (int, float))}
                except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
                    continue  # the last line of a killed run may be truncated
                for name, value in numbers.items():
                    stages[stage][name][step] = value
    return {stage: dict(series) for stage, series in stages.items()}


def with_stores(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return names of scalars, and after each ``val/NAME`` those of the stores of a pool, ``val/STORE/NAME``.

    Args:
        names: Names.
        known: All scalars of the runs.
    """
    made = []
    for name in names:
        of_stores = (other for other in known if other.startswith('val/') and other.count('/') == 2
                     and name == f'val/{other.rpartition("/")[2]}')
        made += [name, *of_stores]
    return made


def plot_curves(work_dir: str, out: str) -> str:
    """Plot the curves of a run over the iterations, one line per stage.

    Args:
        work_dir: Folder of a run, with or without stages.
        out: Image file to write. Its suffix determines the format.

    Returns:
        The path ``out``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    stages = read_scalars(work_dir)
    known = dict.fromkeys(name for series in stages.values() for name in series)
    every = [(title, with_stores(names, known), unit) for title, names, unit in PANELS]
    panels = [panel for panel in every if any(name in series for series in stages.values() for name in panel[1])]
    if not panels:
        raise UserError(f'{work_dir}: its logs contain none of the known curves yet; let it run longer')
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout='constrained')
    FigureCanvasAgg(figure)
    for axis, (title, names, unit) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for stage, series in stages.items():
            for name in names:
                points = sorted(series.get(name, {}).items())
                if points:
                    shown = [stage] * (len(stages) > 1) + [name] * (len(names) > 1)
                    axis.plot(*zip(*points, strict=True), marker='.' if len(points) < 60 else None, linewidth=1.2,
                              label=' '.join(shown))
        axis.set(title=title, xlabel='iteration', ylabel=unit)
        axis.grid(alpha=0.3)
        if len(stages) > 1 or len(names) > 1:
            axis.legend(fontsize='small')
    try:
        figure.savefig(out, dpi=110)
    except (OSError, ValueError) as error:
        raise UserError(f'{out}: cannot be written: {error}') from error
    return out
