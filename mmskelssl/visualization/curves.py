"""Plot the curves of a run: loss, accuracy and collapse metrics."""
import glob
import json
import os.path as osp
from collections import defaultdict
from collections.abc import Collection, Iterable

from mmskelssl.errors import UserError, plottable

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


def cpu_minutes(series: dict[str, dict[int, float]], until: Iterable[int]) -> list[float]:
    """Return the CPU minutes that a stage had trained for at these iterations, without its evaluations.

    Args:
        series: Scalars of the stage. ``cpu_time`` is the mean of the steps since the logged step before.
        until: Iterations.
    """
    import numpy as np
    steps, seconds = zip((0, 0.), *sorted(series['cpu_time'].items()), strict=True)
    return np.interp(list(until), steps, np.cumsum(np.diff(steps, prepend=0) * seconds) / 60).tolist()


def plot_curves(work_dirs: str | list[str], out: str, over: str = 'iterations',
                scalars: Collection[str] = ()) -> str:
    """Plot the curves of runs, one line per run and stage.

    Args:
        work_dirs: Folder of a run, with or without stages, or several such folders.
        out: Image file to write. Its suffix determines the format.
        over: The x axis, ``iterations`` or ``minutes`` of CPU time. Over minutes, the stages of a run follow each
            other.
        scalars: Names of scalars, one panel each. By default, the panels show loss, accuracy and collapse metrics.

    Returns:
        The path ``out``.

    Raises:
        UserError: If a run lacks these scalars, or ``out`` cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    folders = [work_dirs] if isinstance(work_dirs, str) else work_dirs
    runs = dict(zip(distinct_names(folders), map(read_scalars, folders), strict=True))
    known = dict.fromkeys(name for stages in runs.values() for series in stages.values() for name in series)
    given = [(name, (name,), '') for name in scalars] or PANELS
    every = [(title, with_stores(names, known), unit) for title, names, unit in given]
    panels = [panel for panel in every if any(name in known for name in panel[1])]
    if not panels or (scalars and len(panels) < len(given)):
        missing = ', '.join(name for name in scalars if name not in known) or 'the known curves'
        raise UserError(f'{", ".join(folders)}: the logs do not contain {missing}; they contain '
                        f'{", ".join(sorted(known))}')
    figure = Figure(figsize=(max(4.2 * len(panels), 6. * (len(runs) > 1)), 3.2 + 1.2 * (len(runs) > 1)),
                    layout='constrained')
    FigureCanvasAgg(figure)
    for axis, (title, names, unit) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for run, stages in runs.items():
            for label, points in _lines(run, stages, names, over):
                parts = [run] * (len(runs) > 1) + [label] * bool(label)
                axis.plot(*points, marker='.' if len(points[0]) < 60 else None, linewidth=1.2,
                          label=plottable(' '.join(parts)))
        axis.set(title=plottable(title), ylabel=unit,
                 xlabel='iteration' if over == 'iterations' else 'CPU minutes of training')
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize='small')
    try:
        figure.savefig(out, dpi=110)
    except (OSError, ValueError) as error:
        raise UserError(f'{out}: cannot be written: {error}') from error
    return out


def distinct_names(folders: Collection[str]) -> list[str]:
    """Name each folder by the last parts of its path, as many as make the names distinct."""
    parts = [osp.normpath(folder).split(osp.sep) for folder in folders]
    count = next((n for n in range(1, max(map(len, parts)) + 1)
                  if len({tuple(part[-n:]) for part in parts}) == len(parts)), None)
    if count is None:
        raise UserError(f'{", ".join(folders)}: a run is given twice')
    return [osp.sep.join(part[-count:]) for part in parts]


def _lines(run: str, stages: dict, names: list[str], over: str):
    """Yield label and points, (x, y), of the lines of one run in one panel."""
    start = 0.
    for stage, series in stages.items():
        if over == 'minutes' and 'cpu_time' not in series:
            raise UserError(f'{run}, {stage}: its logs have no cpu_time: an earlier version wrote them, or '
                            'default_hooks.timer is not a TimerHook; use --over iterations')
        for name in names:
            if points := sorted(series.get(name, {}).items()):
                steps, values = zip(*points, strict=True)
                moved = steps if over == 'iterations' else [start + x for x in cpu_minutes(series, steps)]
                yield ' '.join([stage] * (len(stages) > 1) + [name] * (len(names) > 1)), (moved, values)
        if over == 'minutes':
            start += cpu_minutes(series, [max(series['cpu_time'])])[0]
