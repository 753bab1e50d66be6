"""Every fault of a store, found by reading all of it."""
import hashlib
import os.path as osp
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.cache import check_caches
from mmskelssl.datasets.store.near import LIMIT, near_duplicates
from mmskelssl.datasets.store.reader import ARRAYS, SkeletonStore
from mmskelssl.errors import UserError


@dataclass(frozen=True)
class Fault:
    """Something wrong with a store.

    Args:
        what: Kind of fault, in words.
        samples: Ids that it is about, near duplicates with the other one; none where it is about the whole store.
        fatal: Whether a training or an evaluation would be wrong with it.
    """
    what: str
    samples: tuple[str, ...] = ()
    fatal: bool = True


def verify(path: str, near: float | None = None) -> list[Fault]:
    """Read a whole store and list its faults: hash, numbers, bodies, labels, ids, splits, and twins across splits.

    The preprocessed arrays that the user has of it are read, too, and removed if they are not what was written.

    Args:
        path: Folder of the store.
        near: Look for near duplicates across splits too (in the whole store where no two splits belong together), up to
            this distance (:mod:`mmskelssl.datasets.store.near`). This takes longer.
    """
    if near is not None and not 0 < near < 1:
        raise UserError(f'--near {near:g}: a distance above 0 and below 1, such as {LIMIT}')
    try:
        store = SkeletonStore(path)
    except UserError as error:  # what makes it unreadable: missing, cut off, of another shape than it says
        return [Fault(str(error))]
    faults = []
    for what, name in (('frames', 'keypoints.npy'), ('scores', 'scores.npy')):
        if (name == 'keypoints.npy' or store.has_scores) and file_hash(osp.join(path, name)) != store.head.get(
                ARRAYS[name]):
            faults.append(Fault(f'the {what} have changed since they were written (another sha256)'))
    if not store.columns_are_sound():
        faults.append(Fault('index.npz says otherwise than index.json, which counts: remove index.npz'))
    faults += [Fault(f'{file}, made of this store earlier, has changed since it was written; it was removed, and what '
                     'was trained or measured with it may be wrong') for file in check_caches(path, store.data_hash)]
    contents: list[bytes] = []
    by_fault: dict[tuple[str, bool], list[str]] = {}
    for i in track(range(len(store)), 'reading', disable=len(store) < 5000):
        keypoints = store.keypoints(i)
        contents.append(hashlib.sha256(np.ascontiguousarray(keypoints).data).digest())
        for fault in _faults_of(keypoints, store.scores(i)):
            by_fault.setdefault(fault, []).append(store.ids[i])
    faults += [Fault(what, tuple(ids), fatal) for (what, fatal), ids in by_fault.items()]
    most = len(store.classes) or 1 << 31
    wrong = tuple(store.ids[i] for i in np.flatnonzero((store.labels >= most) | (store.labels < -1)))
    faults += [Fault(f'label outside 0..{most - 1}', wrong)] * bool(wrong)
    twice = _repeated(store.ids)
    faults += [Fault('the id stands twice', twice)] * bool(twice)
    faults += _split_faults(store, contents)
    return faults if near is None else faults + list(_near_faults(store, near))


def _faults_of(keypoints: np.ndarray, scores: np.ndarray | None) -> Iterable[tuple[str, bool]]:
    """(kind, whether it is fatal) of each fault of a clip (M, T, V, C) with scores (M, T, V)."""
    if scores is not None and not ((scores >= 0) & (scores < np.inf)).all():
        yield 'a score is not a number from 0 on', True
    if not np.isfinite(keypoints).all():
        yield 'NaN or Inf', True
    seen = np.asarray(keypoints.any((2, 3)))
    if not seen.any():
        yield 'every coordinate is zero, there is no body in it', True
        return
    if not seen.any(0).all():
        yield 'frames without a body', False
    if not seen.any(1).all():
        yield 'a person who is never seen', False
    if keypoints.shape[1] == 1:
        yield 'a single frame', False


def _repeated(names: Iterable[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}  # in order
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return tuple(repeated)


def _split_faults(store: SkeletonStore, contents: list[bytes]) -> list[Fault]:
    known, faults = dict(zip(store.ids, contents, strict=True)), []
    for name, ids in store.splits.items():
        unknown = [sample for sample in ids if sample not in known]
        faults += [Fault(f'split {name!r} names samples that are not there', tuple(unknown))] * bool(unknown)
        twice = _repeated(ids)
        faults += [Fault(f'split {name!r} names a sample twice', twice)] * bool(twice)
        faults += [Fault(f'split {name!r} is empty')] * (not ids)
    for train, test in split_pairs(store.splits):
        shared = [sample for sample in store.splits[test] if sample in set(store.splits[train])]
        faults += [Fault(f'samples of {test!r} stand in {train!r} too', tuple(shared))] * bool(shared)
        twins = twins_of(store, train, test, known)
        share = f'{len(twins)} of {len(store.splits[test])}'
        faults += [Fault(f'exact duplicates across splits: {share} samples of {test!r} have the coordinates of one of '
                         f'{train!r}', tuple(twins), fatal=False)] * bool(twins)
    counts = {content: 0 for content in contents}
    for content in contents:
        counts[content] += 1
    same = tuple(sample for sample in store.ids if counts[known[sample]] > 1)
    faults += [Fault('the coordinates stand in the store more than once', same, fatal=False)] * bool(same)
    return faults


def _near_faults(store: SkeletonStore, limit: float) -> Iterable[Fault]:
    """Samples of a test split that are nearly ones of its training split, exact copies among them."""
    pairs = [pair for pair in split_pairs(store.splits) if all(_is_sound(store, split) for split in pair)]
    known: dict[tuple[bytes, bytes], list] = {}
    for train, test in pairs or [('all', 'all')]:
        rows = store.split(test), store.split(train)
        key = rows[0].tobytes(), rows[1].tobytes()  # some splits have two names
        found = known.get(key) or known.setdefault(key, near_duplicates(store, *rows, limit))
        near = {store.ids[pair.sample]: f'{store.ids[pair.sample]} like {store.ids[pair.other]}, {pair.distance:.3f}'
                for pair in found}
        if pairs:  # of these, clips too short to compare by their movement
            near |= {name: f'{name}, exactly' for name in twins_of(store, train, test) if name not in near}
        where = 'across splits' if pairs else 'in the store'
        share = f'{len(near)} of {len(store.split(test))}'
        what = f'samples of {test!r} move like one of {train!r}' if pairs else 'samples move like another one'
        if near:
            yield Fault(f'near duplicates {where}: {share} {what} (distance up to {limit:g})', tuple(near.values()),
                        fatal=False)


def _is_sound(store: SkeletonStore, split: str) -> bool:
    try:
        return bool(len(store.split(split)))
    except UserError:  # a fault of its own
        return False


def twins_of(store: SkeletonStore, train: str, test: str, contents: dict[str, bytes] | None = None) -> list[str]:
    """Ids of ``test`` whose coordinates are exactly those of a sample of ``train`` that is not itself."""
    if contents is None:
        contents = {store.ids[i]: hashlib.sha256(np.ascontiguousarray(store.keypoints(i)).data).digest()
                    for i in range(len(store))}
    members = set(store.splits[train])
    known = {contents[sample] for sample in members if sample in contents}
    return [sample for sample in store.splits[test] if sample not in members and contents.get(sample) in known]


def split_pairs(splits: Iterable[str]) -> list[tuple[str, str]]:
    """(training, test) splits that belong together by their names: train/test, and X_train/X_test."""
    names = list(splits)
    return [(train, train.removesuffix('train') + 'test') for train in names
            if train.endswith('train') and train.removesuffix('train') + 'test' in names]


def print_report(faults: list[Fault]) -> int:
    """Print faults; 1 if one of them is fatal."""
    for fault in faults:
        examples = ', '.join(map(str, fault.samples[:3])) + (', ...' if len(fault.samples) > 3 else '')
        where = f': {len(fault.samples)} samples ({examples})' if fault.samples else ''
        print(f'{"FAULT" if fault.fatal else "note "} {fault.what}{where}')
    fatal = sum(fault.fatal for fault in faults)
    print(f'{fatal} faults, {len(faults) - fatal} notes' if faults else 'no fault found')
    return int(fatal > 0)
