"""Checks of a store: faults, and data that were understood wrongly when they were imported."""
from collections.abc import Iterator

import numpy as np

from mmskelssl.datasets.importers.third import PIXELS, body_size, third_number, units_of
from mmskelssl.datasets.pose_tracking import count_tracks
from mmskelssl.datasets.store.near import LIMIT
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.statistics import store_stats
from mmskelssl.datasets.store.verify import Fault, split_pairs, verify
from mmskelssl.doctor.finding import FAULT, NOTE, OK, Finding, judge
from mmskelssl.errors import UserError

LOOKS = 300  # clips, evenly spaced, from which the meaning of the coordinates is judged
MOST_NEAR = 20_000  # clips; larger stores are searched for near duplicates only on request
NOT_SEARCHED = 'were not searched for near duplicates'
LARGE = 4.  # metres; no body is larger from end to end
FEW = .05  # share of clips with a split person that may be real: one person leaves and another enters


def check_store(path: str, near: bool | None = None) -> Iterator[Finding]:
    """Yield the findings about a store.

    Args:
        path: Folder of the store.
        near: Whether to search for near duplicates. By default, stores of up to :data:`MOST_NEAR` clips are searched.
    """
    try:
        store = SkeletonStore(path)
    except UserError as error:
        yield Finding(FAULT, str(error))
        return
    near = len(store) <= MOST_NEAR if near is None else near
    faults = verify(path, LIMIT if near else None)
    yield from map(from_fault, faults) if faults else [Finding(OK, f'{path}: {len(store)} clips without a fault')]
    if not near:
        yield Finding(NOTE, f'{len(store)} clips {NOT_SEARCHED}',
                      'mmskelssl doctor STORE --near does; it takes longer')
    if any(fault.fatal for fault in faults):
        return  # the other checks rely on sound numbers and splits
    clips = [store.keypoints(i) for i in np.linspace(0, len(store) - 1, min(LOOKS, len(store))).astype(int)]
    yield check_third(store, clips)
    yield check_units(path, store, clips)
    yield check_persons(store, clips)
    yield check_rate(store)
    yield from check_labels(store)


def from_fault(fault: Fault) -> Finding:
    """Convert a fault of ``verify``."""
    some = ', '.join(fault.samples[:3]) + (', ...' if len(fault.samples) > 3 else '')
    where = f': {len(fault.samples)} samples ({some})' if fault.samples else ''
    return Finding(FAULT if fault.fatal else NOTE, fault.what + where, fault.cure)


def check_third(store: SkeletonStore, clips: list[np.ndarray]) -> Finding:
    """Check whether the third coordinate is a score, by the rule that imports follow."""
    fine = f'the {store.channels} coordinates of a joint are positions'
    if store.channels < 3:
        return Finding(OK, fine)
    problem, points = None, np.concatenate([clip[..., :3].reshape(-1, 3) for clip in clips])
    try:
        if third_number(points, store.layout) == 'score':
            problem = (f'the third coordinate looks like a score, not a depth: it lies in '
                       f'{points[:, 2].min():.3g}..{points[:, 2].max():.3g}, and x and y up to '
                       f'{np.abs(points[:, :2]).max():.4g}')
    except ValueError:  # a layout of 2D estimators whose third number cannot be a score
        pass
    asked = store.head.get('third') == 'depth'
    return judge(problem, 'check the source; it was imported as a depth' if asked else
                 'import the data again with --third score', fine, FAULT)


def check_units(path: str, store: SkeletonStore, clips: list[np.ndarray]) -> Finding:
    """Compare the stated units with the size of the bodies and of the space that they move in."""
    units, ranges = store.head.get('units', ''), store_stats(path)['ranges'][:3]
    size, reach = float(np.median([body_size(clip) for clip in clips])), float(np.abs(ranges).max())
    fine = f'units {units or "unknown"}; a typical body measures {size:.3g}'
    cure = 'import the data again with the right --units, or with a --scale that gives metres'
    if units == 'm' and max(reach / PIXELS, size / LARGE) > 1:
        kind = 'pixels' if store.channels == 2 else 'pixels or millimetres'
        return Finding(FAULT, f'the units are said to be metres, but bodies measure {size:.4g} and coordinates reach '
                       f'{reach:.4g}: they are probably {kind}', cure)
    if units == 'px' and units_of(np.concatenate([clip[..., :2].reshape(-1, 2) for clip in clips])) == 'relative':
        return Finding(FAULT, f'the units are said to be pixels, but coordinates reach only {reach:.3g}: they are '
                       'probably shares of the picture', cure)
    if units in ('', 'unknown'):
        return Finding(NOTE, f'the units are unknown; a typical body measures {size:.3g}',
                       'augmentations that move or resize bodies assume metres: state --units when importing')
    return Finding(OK, fine)


def check_persons(store: SkeletonStore, clips: list[np.ndarray]) -> Finding:
    """Track the persons of each clip again. If there are fewer now, one person had been split into several."""
    several = [clip for clip in clips if clip.any((1, 2, 3)).sum() > 1]
    joined = [clip for clip in several if count_tracks(clip) < clip.any((1, 2, 3)).sum()]
    fine = f'{len(several)} of {len(clips)} clips examined show several persons, and none of them is one person split'
    share = f'{len(joined)} of {len(several)} clips with several persons'
    problem = (f'one person seems to be split into two in {share} (of {len(clips)} examined): the second appears where '
               'and when the first disappears') if joined else None
    return judge(problem, 'keep one person with '
                 "dict(type='SelectPersons', max_persons=1), or import again with tracking ids",
                 fine, FAULT if len(joined) > FEW * len(clips) else NOTE)


def check_rate(store: SkeletonStore) -> Finding:
    """Check whether the store states its frame rate."""
    rate = store.head.get('fps')
    return judge(None if rate else 'the frame rate is unknown', 'windows and lengths in seconds need it: give --fps to '
                 'the commands that ask for it', f'{rate or 0:g} frames per second', NOTE)


def check_labels(store: SkeletonStore) -> Iterator[Finding]:
    """Check that accuracies measured with the labels mean something."""
    known = store.labels[store.labels >= 0]
    if not len(known):
        yield Finding(NOTE, 'no clip has a label, so accuracies cannot be measured',
                      'pre-training needs none; mmskelssl prepare relabel adds them')
        return
    found = np.unique(known)
    yield judge(f'all {len(known)} labels are the same class, so every accuracy is 100 %' if len(found) == 1 else None,
                'check the labels; mmskelssl prepare relabel corrects them', f'{len(found)} classes')
    for train, test in split_pairs(store.splits):
        own = [{int(label) for label in store.labels[store.split(name)] if label >= 0} for name in (train, test)]
        if new := own[1] - own[0]:
            names = [store.classes[i] if i < len(store.classes) else str(i) for i in sorted(new)]
            yield Finding(NOTE, f'{len(new)} classes of {test!r} have no clip in {train!r} ({", ".join(names[:5])})',
                          'no probe can predict them: move clips of them to the training split')
