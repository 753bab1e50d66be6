"""Writes a repaired copy of a store."""
import numpy as np
from rich.progress import track

from mmskelssl.datasets.importers.import_files import add_or_skip
from mmskelssl.datasets.store.convert import OWN
from mmskelssl.datasets.store.mend import bodies, drop_empty, fill_gaps
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.schema import MAX_CLASSES
from mmskelssl.datasets.store.verify import name_of, split_pairs, twins_of
from mmskelssl.datasets.store.writer import StoreWriter, kind_of


def repair(path: str, out: str, drop_twins: bool = False, overwrite: bool = False) -> None:
    """Write a copy in which all repairable faults are repaired. Other samples are dropped and listed with the reason.

    The repair fills gaps (:func:`fill_gaps`), drops frames and persons without a body (:func:`drop_empty`), and removes
    labels outside the classes. It keeps the first sample of a duplicate id. Splits name existing samples only, each
    once, and a test split shares no sample with its training split.

    Args:
        path: Store to read. Its frames may have changed since they were written. A damaged shard is left out as a
            whole, and its samples are listed.
        out: Store to write.
        drop_twins: Drop test samples with the coordinates of a training sample from their splits.
        overwrite: Replace an existing store.
    """
    store, lost = _readable(path)
    with StoreWriter(out, store.layout, classes=store.classes, **kind_of(store), source=f'repair {path}',
                     options=dict(drop_twins=drop_twins), overwrite=overwrite) as writer:
        for name, reason in lost:
            writer.skip(name, reason)
        for i in track(range(len(store)), 'repairing', disable=len(store) < 5000):
            about = {k: v for k, v in store.samples[i].items() if k not in OWN}
            name, clip, done = store.name(i), np.array(store.keypoints(i)), list[str]()
            scores = store.scores(i)
            if scores is not None:  # filled-in joints were missing
                persons, frames = bodies(clip)
                scores = np.where(np.isfinite(clip).all(-1), scores, 0)[persons][:, frames]
            keypoints: np.ndarray | None = clip
            for mend in (fill_gaps, drop_empty):
                if keypoints is not None:
                    keypoints, text = mend(keypoints)
                    done += [text] if text else []
            if keypoints is None:
                writer.skip(name, '; '.join(done))
                continue
            most = len(store.classes) or MAX_CLASSES
            if about.get('label') is not None and not 0 <= about['label'] < most:
                done.append(f'label {about["label"]} is outside 0..{most - 1} and was removed')
                about['label'] = None
            before = len(writer.samples)
            add_or_skip(writer, name, keypoints=keypoints, scores=scores, **about)
            if done and len(writer.samples) > before:
                writer.repaired.append(dict(id=name, reason='; '.join(done)))
        if store.joint_masks is not None:
            writer.index['joint_masks'] = store.joint_masks
        there = {sample['id'] for sample in writer.samples}
        for split, ids in store.splits.items():
            writer.set_split(split, dict.fromkeys(sample for sample in ids if sample in there))
        for train, test in split_pairs(writer.splits):
            members = set(writer.splits[train])
            for sample in members & set(writer.splits[test]):
                writer.note(sample, f'is in {train!r} and was left out of {test!r}')
            writer.set_split(test, [sample for sample in writer.splits[test] if sample not in members])
        if drop_twins:
            for train, test in split_pairs(writer.splits):
                twins = set(twins_of(store, train, test))
                for sample in sorted(twins & there):
                    writer.note(sample, f'has the coordinates of a sample of {train!r} and was left out of {test!r}')
                writer.set_split(test, [sample for sample in writer.splits[test] if sample not in twins])


def _readable(path: str) -> tuple[SkeletonStore, list[tuple[str, str]]]:
    """Open a store without its damaged shards. Also returns the id of each sample in them, and the reason."""
    store = SkeletonStore(path, complete=False)
    if not store.sharded:  # its frames are repaired as they are
        return store, []
    found = list(store.damage())
    reasons = {i: damage.text for damage in found for i in damage.samples}
    return (SkeletonStore(path, without={damage.shard for damage in found if damage.shard is not None}),
            [(name_of(store, i), reason) for i, reason in reasons.items()])
