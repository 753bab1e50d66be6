"""The curves of one or several runs."""
from mmskelssl.errors import UserError
from mmskelssl.report.charts import Chart, lines
from mmskelssl.report.sources import Source
from mmskelssl.visualization.curves import read_scalars, with_stores

_MOST = 2000  # points of a line
# Key, title, scalars, axis. Parts of the loss are found by their names.
_PANELS = (('knn', 'Nearest neighbours', ('val/knn_top1', 'val/knn20_top1'), 'top-1 %'),
           ('top1', 'Views that find their clip in the batch', ('batch_top1', 'val/batch_top1'), '%'),
           ('std', 'Feature std (0: collapsed)', ('val/feature_std',), ''),
           ('cosine', 'Mean cosine of different clips (1: collapsed)', ('val/mean_cosine', 'batch_cosine'), ''),
           ('rank', 'Effective rank (1: collapsed)', ('val/effective_rank',), ''),
           ('lr', 'Learning rate', ('lr',), ''))

Series = dict[str, list[tuple[float, float]]]


def curve_charts(sources: list[Source]) -> tuple[list[Chart], list[str], bool]:
    """Return the charts of all runs, why a run has none, and whether a run has several stages.

    The stages of a run follow each other on the axis of iterations.
    """
    runs, problems = [], []
    for source in sources:
        if source.is_run:
            try:
                runs.append((source.name, read_scalars(source.path)))
            except UserError as error:
                problems.append(str(error))
    several = len(runs) > 1
    series: dict[str, Series] = {}
    marks: list[tuple[float, str]] = []
    for name, stages in runs:
        start = 0.
        for stage, curves in stages.items():
            prefix = [name] * several + [stage] * (len(stages) > 1)
            for scalar, points in curves.items():
                moved = [(start + step, value) for step, value in sorted(points.items())]
                series.setdefault(scalar, {})[' '.join(prefix)] = _thinned(moved)
            if len(stages) > 1 and start:
                marks.append((start, stage))
            start += max(max(points) for points in curves.values())
    losses = [name for name in series if name == 'loss' or name.startswith(('loss_', 'loss.'))]
    panels = [('loss', 'Loss' if len(losses) == 1 else 'Loss and its parts', sorted(losses), ''), *_PANELS]
    charts = []
    for key, title, scalars, unit in panels:
        found = {scalar: series[scalar] for scalar in with_stores(scalars, series) if scalar in series}
        drawn = {' '.join(filter(None, [prefix, scalar.removeprefix('val/') if len(found) > 1 or not prefix else ''])):
                 points for scalar, by_run in found.items() for prefix, points in by_run.items()}
        if drawn:
            charts.append(lines(f'curve-{key}', title, drawn, 'iteration', unit, marks))
    return charts, problems, bool(marks)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= _MOST:
        return points
    step = len(points) / _MOST
    return [points[int(i * step)] for i in range(_MOST - 1)] + [points[-1]]

