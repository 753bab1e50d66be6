"""Statistics of a store."""
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import printable


def store_stats(path: str) -> dict:
    """Compute statistics in one pass over a store.

    Returns:
        ``name``, ``layout``, ``units``, ``classes``; per sample ``lengths`` (frames), ``labels`` (-1: none),
        ``persons`` (visible persons), ``energy`` and ``missing``, each (N,); ``ranges`` (C, 2), the 1st and 99th
        percentile of each coordinate; ``splits``, the size of each split. Energy is the mean distance that a joint
        moves between consecutive frames, in the data's units. ``missing`` is the share of joints at exactly zero,
        among the persons and frames that show someone.
    """
    store = SkeletonStore(path)
    persons, energy, missing = np.zeros(len(store), int), np.zeros(len(store)), np.zeros(len(store))
    sampled = []
    for i in track(range(len(store)), 'reading', disable=len(store) < 5000):
        keypoints = store.keypoints(i)
        seen = np.asarray(keypoints.any((2, 3)))
        persons[i] = seen.any(1).sum()
        steps = seen[:, 1:] & seen[:, :-1]
        if steps.any():
            energy[i] = np.linalg.norm(np.diff(keypoints[..., :3], axis=1)[steps], axis=-1).mean()
        if seen.any():
            missing[i] = 1 - keypoints[seen].any(-1).mean()
            sampled.append(keypoints[seen][::10].reshape(-1, store.channels))
    points = np.concatenate(sampled or [np.zeros((1, store.channels), np.float32)])
    return dict(name=path, layout=store.layout.name, units=store.head.get('units', ''), classes=store.classes,
                lengths=np.array(store.frames), labels=store.labels, persons=persons, energy=energy,
                missing=missing,
                ranges=np.percentile(points, (1, 99), axis=0).T, splits={k: len(v) for k, v in store.splits.items()})


def _shown(text: str) -> str:
    """Escape Rich markup and terminal codes in names from the store."""
    return escape(printable(text))


def print_stats(stats: dict) -> None:
    """Print statistics as tables."""
    console = Console()
    table = Table(title=_shown(f'{stats["name"]}: {len(stats["lengths"])} samples, layout {stats["layout"]}'))
    for column in ('', 'least', 'median', 'mean', 'most'):
        table.add_column(column, justify='right' if column else 'left')
    for name, values, digits in (('frames', stats['lengths'], 0), ('persons', stats['persons'], 0),
                                 ('missing joints (%)', 100 * stats['missing'], 1),
                                 (f'motion energy ({stats["units"]} a frame)', stats['energy'], 4)):
        table.add_row(_shown(name), *(f'{f(values):.{digits if f is not np.mean else max(digits, 2)}f}'
                              for f in (np.min, np.median, np.mean, np.max)))
    console.print(table)
    for axis, (low, high) in zip('xyzw', stats['ranges'], strict=False):
        console.print(_shown(f'{axis}: 98 % between {low:.3g} and {high:.3g} {stats["units"]}'))
    counts = np.bincount(stats['labels'] + 1)
    if counts[0]:
        console.print(f'without a label: {counts[0]}')
    if len(counts) > 1:
        names = stats['classes'] or [str(i) for i in range(len(counts) - 1)]
        table = Table('class', 'samples')
        for i, count in enumerate(counts[1:]):
            table.add_row(_shown(names[i]) if i < len(names) else str(i), str(count))
        console.print(table)
    splits = ', '.join(f'{name} {count}' for name, count in stats['splits'].items())
    console.print(_shown(f'splits: {splits or "none"}'))
