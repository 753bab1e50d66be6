"""The nearest clips of each clip, and those that show the same movement."""
import numpy as np

from mmskelssl.datasets.store.near import LIMIT, Near, near_duplicates
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.report.selection import Selection
from mmskelssl.report.shown import Shown

_DIGITS = 3


def neighbour_part(shown: Shown, same: dict[int, Near]) -> tuple[dict, dict]:
    """Return what the template and the script need for the neighbours. ``same`` is from :func:`same_movements`."""
    ids = [shown.store.ids[row] for row in shown.selection.rows]
    found = neighbour_table(shown.selection, same)

    def text(entry: dict, k: int) -> str:
        twin = ', same movement' if entry['near'][k] == entry['same'] else ''
        return f'{ids[entry["near"][k]]} ({entry["distance"][k]:.3f}{twin})'

    rows = [[ids[entry['clip']], *(text(entry, k) for k in range(len(entry['near'])))] for entry in found]
    count = shown.selection.nearest.shape[1]
    pair = shown.pair
    return dict(neighbours=dict(what=f'clips of {pair.train}' if pair else 'other clips', table=rows,
                                head=['clip', *map(str, range(1, count + 1))])), \
        dict(neighbours=found, aside=f'Neighbours are found for the clips of {pair.test}.' if pair else '')


def same_movements(store: SkeletonStore, rows: np.ndarray, gallery: np.ndarray) -> dict[int, Near]:
    """Return for each clip the training clip that shows the same movement, if there is one within the usual limit."""
    return {near.sample: near for near in near_duplicates(store, rows, gallery, LIMIT)}


def neighbour_table(selection: Selection, same: dict[int, Near]) -> list[dict]:
    """Return the neighbours of each query: clips of the page, cosine distances, and which show the same movement."""
    place = {int(row): i for i, row in enumerate(selection.rows)}
    made = []
    for query, rows, cosines in zip(selection.queries, selection.nearest, selection.cosine, strict=True):
        twin = same.get(int(query))
        made.append(dict(
            clip=place[int(query)], near=[place[int(row)] for row in rows],
            distance=[round(max(0., 1 - float(c)), _DIGITS) for c in cosines],
            same=place.get(twin.other, -1) if twin else None,
            same_distance=round(twin.distance, 4) if twin else None))
    return made
