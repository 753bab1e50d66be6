"""Finds the faults of a store by reading all of it."""
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.progress import track

from mmskelssl.datasets.cache import check_caches
from mmskelssl.datasets.store.damage import AGAIN, LEAVE_OUT
from mmskelssl.datasets.store.near import LIMIT, Both, near_duplicates
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.schema import MAX_CLASSES
from mmskelssl.errors import UserError

_REPAIR = 'mmskelssl repair STORE --out FIXED mends the clips or leaves them out'
_RELABEL = 'mmskelssl prepare relabel corrects labels'
_SPLIT = 'mmskelssl prepare split STORE --share 0.2 --by subject draws new splits'
_APART = 'keep them in the same split (mmskelssl prepare split --by subject)'
_TWINS = 'leave them out of the test split, or state their share with every result'


@dataclass(frozen=True)
class Fault:
    """A fault of a store.

    Args:
        what: Description of the fault.
        samples: Ids of the affected samples, near duplicates with the other sample; empty for the whole store.
        fatal: Whether the fault would invalidate a training or an evaluation.
        cure: What to do about it.
    """
    what: str
    samples: tuple[str, ...] = ()
    fatal: bool = True
    cure: str = field(default='', compare=False)


def verify(path: str, near: float | None = None) -> list[Fault]:
    """Read a whole store and list faults of its hash, numbers, bodies, labels, ids, splits, and twins across splits.

    The user's preprocessed arrays of the store are checked too, and removed if they have changed.

    Args:
        path: Folder of the store.
        near: Also find near duplicates across splits up to this distance (:mod:`mmskelssl.datasets.store.near`). If the
            store has no training and test splits, the whole store is searched. This takes longer.
    """
    if near is not None and not 0 < near < 1:
        raise UserError(f'--near {near:g}: must be a distance above 0 and below 1, such as {LIMIT}')
    try:
        store = SkeletonStore(path, complete=False)
    except UserError as error:  # the store is unreadable: missing, truncated or of unexpected shape
        return [Fault(str(error), cure=AGAIN)]
    faults, unread = [], set[int]()
    for damage in store.damage():
        faults.append(Fault(damage.text, tuple(name_of(store, i) for i in damage.samples), cure=damage.cure))
        unread.update(damage.samples)
    if unread:  # the faults below need every sample
        return [*faults, Fault('the clips were not examined, because some cannot be read', fatal=False, cure=LEAVE_OUT)]
    faults += [Fault(f'{file}, computed from this store, has changed since it was written. It was removed; results '
                     'obtained with it may be wrong', cure='repeat the runs and measurements of this store')
               for file in check_caches(path, store.data_hash)]
    contents: list[bytes] = []
    by_fault: dict[tuple[str, bool], list[str]] = {}
    for i in track(range(len(store)), 'reading', disable=len(store) < 5000):
        keypoints = store.keypoints(i)
        contents.append(hashlib.sha256(np.ascontiguousarray(keypoints).data).digest())
        for fault in _faults_of(keypoints, store.scores(i)):
            by_fault.setdefault(fault, []).append(store.ids[i])
    faults += [Fault(what, tuple(ids), fatal, _REPAIR) for (what, fatal), ids in by_fault.items()]
    most = len(store.classes) or MAX_CLASSES
    wrong = tuple(store.ids[i] for i in np.flatnonzero((store.labels >= most) | (store.labels < -1)))
    faults += [Fault(f'label outside 0..{most - 1}', wrong, cure=_RELABEL)] * bool(wrong)
    twice = _repeated(store.ids)
    faults += [Fault('the id appears twice', twice, cure=AGAIN)] * bool(twice)
    faults += _split_faults(store, contents)
    return faults if near is None else faults + list(_near_faults(store, near))


def verify_across(paths: Sequence[str], near: float) -> list[Fault]:
    """Find near duplicates across stores, such as those that one encoder will be trained on.

    Stores of different layouts are compared by the joints with the same canonical names. The axes have to match: a clip
    that was turned is another movement.

    Args:
        paths: Folders of sound stores.
        near: Largest distance, as for :func:`verify`.
    """
    stores = [SkeletonStore(path) for path in paths]
    faults = []
    for first, second in itertools.combinations(stores, 2):
        both = Both(first, second)
        where = f'{first.path} and {second.path}'
        if both.problem:
            faults.append(Fault(f'{where} were not compared: {both.problem}', fatal=False,
                                cure='convert one of them (mmskelssl prepare convert)'))
            continue
        start = len(first)
        found = near_duplicates(both, range(start), range(start, start + len(second)), near)
        tested = [{name for _, test in split_pairs(store.splits) for name in store.splits[test]}
                  for store in (first, second)]
        pairs = [(first.ids[pair.sample], second.ids[pair.other - start], pair.distance) for pair in found]
        count = sum(one in tested[0] or other in tested[1] for one, other, _ in pairs)
        if pairs:
            what = (f'near duplicates across stores: {len(pairs)} of {start} samples of {first.path} move like one of '
                    f'{second.path} (distance up to {near:g}); in {count} of these pairs, one is in a test split')
            samples = tuple(f'{one} like {other}, {distance:.3f}' for one, other, distance in pairs)
            faults.append(Fault(what, samples, False, 'leave them out of one of the stores (mmskelssl prepare subset)'))
    return faults


def name_of(store: SkeletonStore, i: int) -> str:
    """Return the id of a sample, or its position if the ids cannot be read."""
    try:
        return store.name(i)
    except UserError:
        return f'number {i}'


def _faults_of(keypoints: np.ndarray, scores: np.ndarray | None) -> Iterable[tuple[str, bool]]:
    """Yield (kind, fatal) for each fault of a clip (M, T, V, C) with scores (M, T, V)."""
    if scores is not None and not ((scores >= 0) & (scores < np.inf)).all():
        yield 'a score is not a non-negative number', True
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
        faults += [Fault(f'split {name!r} names unknown samples', tuple(unknown), cure=_SPLIT)] * bool(unknown)
        twice = _repeated(ids)
        faults += [Fault(f'split {name!r} names a sample twice', twice, cure=_SPLIT)] * bool(twice)
        faults += [Fault(f'split {name!r} is empty', cure=_SPLIT)] * (not ids)
    for train, test in split_pairs(store.splits):
        shared = [sample for sample in store.splits[test] if sample in set(store.splits[train])]
        faults += [Fault(f'samples of {test!r} are also in {train!r}', tuple(shared),
                         cure=_SPLIT)] * bool(shared)
        twins = twins_of(store, train, test, known)
        share = f'{len(twins)} of {len(store.splits[test])}'
        faults += [Fault(f'exact duplicates across splits: {share} samples of {test!r} have the coordinates of one of '
                         f'{train!r}', tuple(twins), False, _TWINS)] * bool(twins)
    counts = {content: 0 for content in contents}
    for content in contents:
        counts[content] += 1
    same = tuple(sample for sample in store.ids if counts[known[sample]] > 1)
    faults += [Fault('the same coordinates appear more than once in the store', same, False,
                     'leave out all but one of them (mmskelssl prepare subset)')] * bool(same)
    return faults


def _near_faults(store: SkeletonStore, limit: float) -> Iterable[Fault]:
    """Yield test samples that nearly equal a training sample, including exact copies."""
    pairs = [pair for pair in split_pairs(store.splits) if all(_is_sound(store, split) for split in pair)]
    known: dict[tuple[bytes, bytes], list] = {}
    for train, test in pairs or [('all', 'all')]:
        rows = store.split(test), store.split(train)
        key = rows[0].tobytes(), rows[1].tobytes()  # some splits have the same samples
        found = known.get(key) or known.setdefault(key, near_duplicates(store, *rows, limit))
        near = {store.ids[pair.sample]: f'{store.ids[pair.sample]} like {store.ids[pair.other]}, {pair.distance:.3f}'
                for pair in found}
        if pairs:  # includes clips too short for near_duplicates
            near |= {name: f'{name}, exactly' for name in twins_of(store, train, test) if name not in near}
        where = 'across splits' if pairs else 'in the store'
        share = f'{len(near)} of {len(store.split(test))}'
        what = f'samples of {test!r} move like one of {train!r}' if pairs else 'samples move like another one'
        if near:
            yield Fault(f'near duplicates {where}: {share} {what} (distance up to {limit:g})', tuple(near.values()),
                        False, _TWINS if pairs else _APART)


def _is_sound(store: SkeletonStore, split: str) -> bool:
    try:
        return bool(len(store.split(split)))
    except UserError:  # reported as a separate fault
        return False


def twins_of(store: SkeletonStore, train: str, test: str, contents: dict[str, bytes] | None = None) -> list[str]:
    """Return ids of ``test`` whose coordinates equal those of another sample in ``train``."""
    if contents is None:
        contents = {store.ids[i]: hashlib.sha256(np.ascontiguousarray(store.keypoints(i)).data).digest()
                    for i in range(len(store))}
    members = set(store.splits[train])
    known = {contents[sample] for sample in members if sample in contents}
    return [sample for sample in store.splits[test] if sample not in members and contents.get(sample) in known]


def split_pairs(splits: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of (training, test) splits with matching names: train/test, and X_train/X_test."""
    names = list(splits)
    return [(train, train.removesuffix('train') + 'test') for train in names
            if train.endswith('train') and train.removesuffix('train') + 'test' in names]


def print_report(faults: list[Fault]) -> int:
    """Print faults. Returns 1 if any of them is fatal, otherwise 0."""
    for fault in faults:
        examples = ', '.join(map(str, fault.samples[:3])) + (', ...' if len(fault.samples) > 3 else '')
        where = f': {len(fault.samples)} samples ({examples})' if fault.samples else ''
        print(f'{"FAULT" if fault.fatal else "note "} {fault.what}{where}')
    fatal = sum(fault.fatal for fault in faults)
    print(f'{fatal} faults, {len(faults) - fatal} notes' if faults else 'no fault found')
    return int(fatal > 0)
