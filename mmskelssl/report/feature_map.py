"""The map of the features: where each clip is, and what its dot can be coloured by."""
import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.evaluation.clusters import find_clusters
from mmskelssl.evaluation.projection import pca, tsne
from mmskelssl.report.charts import MARKERS, PALETTE, figure, item, look
from mmskelssl.report.clips import LONGEST, skeleton
from mmskelssl.report.measures import Predictions
from mmskelssl.report.shown import Shown
from mmskelssl.report.sources import class_names


def map_part(shown: Shown, groups: list[dict], places: dict[str, list]) -> tuple[dict, dict]:
    """Return what the template and the script need for the map.

    Args:
        groups: From :func:`colourings`.
        places: From :func:`projections`.
    """
    store, count = shown.store, len(shown.selection.rows)
    table, heads = shown.table(), [group['title'] for group in groups]
    rows = [[name, *(group['names'][group['groups'][i]] for group in groups)] for i, name in enumerate(table['id'])]
    return dict(map=dict(count=count, projections=list(places), colourings=heads, head=['id', *heads], table=rows,
                         note=shown.note)), \
        dict(clips=table, classes=class_names(store), skeleton=skeleton(store.layout), colourings=groups,
             projections=places, map=map_figure(count), fps=shown.packer.source_fps, fpsKnown=shown.packer.fps_known,
             longest=LONGEST, first=shown.place[int(shown.selection.queries[0])])


def colourings(store: SkeletonStore, rows: np.ndarray, features: np.ndarray, predictions: Predictions | None,
               names_of_splits: list[str], seed: int) -> tuple[list[dict], list[str]]:
    """Return what the dots of the map can be coloured by, and notes on what is missing.

    Each has a ``title``, the ``names`` of its groups with their ``looks`` (colour and marker), and ``groups``, the
    group of each clip.
    """
    made, notes = [], []
    if (store.labels[rows] >= 0).any():
        names = class_names(store)
        made.append(_grouped('class', [names[c] if c >= 0 else 'no label' for c in store.labels[rows]], names))
    if predictions is not None:
        right = dict(zip(predictions.rows.tolist(), predictions.predicted == predictions.labels, strict=True))
        texts = {True: 'correct', False: 'error', None: 'not tested'}
        made.append(_grouped('error', [texts[right.get(int(row))] for row in rows], ['correct', 'error', 'not tested'],
                             [('#0072B2', 'circle'), ('#D55E00', 'star'), ('#9A9A9A', 'diamond')]))
    members: dict[int, str] = {}
    for name in reversed(names_of_splits):
        members.update(dict.fromkeys(store.split(name).tolist(), name))
    made.append(_grouped('split', [members.get(int(row), 'none') for row in rows], names_of_splits))
    if (store.subjects[rows] >= 0).any():
        made.append(_numbered('subject', store.subjects[rows]))
    cameras = np.array([store.samples[row].get('camera', -1) for row in rows])
    if cameras.dtype.kind == 'i' and (cameras >= 0).any():
        made.append(_numbered('camera', cameras))
    try:
        clusters = find_clusters(features, _cluster_count(store, rows), seed).assignments
        made.append(_numbered('cluster', clusters))
    except UserError as error:  # too few clips
        notes.append(str(error))
    return [one for one in made if len(one['names']) > 1 or one['title'] == 'split'], notes


def _cluster_count(store: SkeletonStore, rows: np.ndarray) -> int | None:
    """Return the number of classes, or None to choose the number of clusters by their silhouette."""
    known = store.labels[rows][store.labels[rows] >= 0]
    count = len(np.unique(known))
    return count if 1 < count < len(rows) else None


def _numbered(title: str, values: np.ndarray) -> dict:
    names = [f'{title} {value}' if value >= 0 else f'no {title}' for value in values]
    return _grouped(title, names, [f'{title} {value}' for value in np.unique(values[values >= 0])])


def _grouped(title: str, values: list[str], order: list[str], looks: list[tuple[str, str]] | None = None) -> dict:
    names = [name for name in dict.fromkeys([*order, *values]) if name in set(values)]
    place = {name: i for i, name in enumerate(names)}
    own = looks and dict(zip(order, looks, strict=True))
    return dict(title=title, names=names, groups=[place[value] for value in values],
                looks=[list(own[name] if own else look(i)) for i, name in enumerate(names)])


def projections(features: np.ndarray, seed: int) -> tuple[dict[str, list], list[str]]:
    """Return the places of clips in the projections that are possible for their number, and notes."""
    made, notes = {}, []
    try:
        made['t-SNE'] = _places(tsne(features, seed))
    except UserError as error:
        notes.append(str(error))
    made['PCA'] = _places(pca(features))
    return made, notes


def _places(points: np.ndarray) -> list:
    spread = np.abs(points).max()
    return (points / (spread if spread > 0 else 1)).round(4).T.tolist()


def map_figure(count: int) -> dict:
    """Return the empty map for a number of clips. ``report.js`` sets places, colours and markers."""
    from bokeh.models import ColumnDataSource, HoverTool, LassoSelectTool, PanTool, TapTool, WheelZoomTool
    made = figure(460, match_aspect=True, name='map')
    zeros = [0.] * count
    source = ColumnDataSource(dict(x=zeros, y=zeros, colour=[PALETTE[0]] * count, marker=[MARKERS[0]] * count,
                                   alpha=[.85] * count, size=[8.] * count), name='map-clips')
    dots = made.scatter('x', 'y', source=source, color='colour', marker='marker', size='size', fill_alpha='alpha',
                        line_color='colour', line_alpha='alpha', nonselection_fill_alpha=.15,
                        nonselection_line_alpha=.15)
    at = ColumnDataSource(dict(x=[], y=[]), name='map-cursor')
    made.scatter('x', 'y', source=at, size=20, fill_color=None, line_color='#D55E00', line_width=3)
    made.add_tools(HoverTool(tooltips=None, renderers=[dots]), TapTool(renderers=[dots]),
                   LassoSelectTool(renderers=[dots], continuous=False, name='lasso'), PanTool(name='pan'),
                   WheelZoomTool(name='zoom'))
    made.axis.visible = False
    made.ygrid.grid_line_color = None
    return item(made)
