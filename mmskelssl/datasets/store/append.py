"""Adds new clips to an existing store, as further shards."""
import os.path as osp
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

import numpy as np

from mmskelssl import __version__
from mmskelssl.datasets.store.edit import locked
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.schema import NOTES
from mmskelssl.datasets.store.shard_writer import Kind, masks_of, write_index, write_shards
from mmskelssl.datasets.store.storage import encode, said
from mmskelssl.datasets.store.upgrade import remove_single, sharded_index
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


class Appended:
    """An existing store to which an import adds its new clips.

    Clips that the store has are recognised by their id and their frames, and are not written again. The store keeps its
    entries about them, because they may have been corrected since.

    Args:
        path: Folder of the store.
        overwrite, storage: What the import asks for; adding excludes the first and another storage.

    Raises:
        UserError: It is not a store, or the clips are to be stored in another way.
    """

    def __init__(self, path: str, overwrite: bool = False, storage: str = 'float32'):
        if not osp.isfile(osp.join(path, 'index.json')):
            raise UserError(f'{path} is not a store, so nothing can be added to it: leave out --append to create it')
        self.store = SkeletonStore(path)
        if overwrite or storage not in ('float32', self.store.storage):
            raise UserError(f'{path}: --append keeps its clips and its storage ({self.store.storage}): leave out '
                            '--overwrite and --storage')
        self.known: set[str] = set()  # ids of clips of this import that the store has

    def check(self, layout: SkeletonLayout, channels: int, units: str, scores: bool, third: str,
              fps: float | None) -> None:
        """Raise a UserError if clips of this kind cannot be added to the store."""
        head, path = self.store.head, self.store.path
        for what, ours, theirs in (('layout', self.store.layout.name, layout.name),
                                   ('coordinates', self.store.channels, channels),
                                   ('units', head.get('units', ''), units), ('frame rate', head.get('fps'), fps),
                                   ('third number', head.get('third') or third, third or head.get('third', ''))):
            if ours != theirs:
                raise UserError(f'the clips cannot be added to {path}: its {what}: {ours}, that of the source: '
                                f'{theirs}')
        if self.store.layout != layout:
            raise UserError(f'the clips cannot be added to {path}: it has another layout of the name {layout.name!r}')
        if scores and not self.store.has_scores:
            raise UserError(f'the clips cannot be added to {path}: they have scores, and its clips have none: leave '
                            'out the scores (--third drop), or import all clips again')

    def has(self, name: str, keypoints: np.ndarray, scores: np.ndarray | None) -> bool:
        """Return whether the store has a clip.

        Raises:
            UserError: It has another one of this id.
        """
        i = self.store.positions.get(name)
        if i is None:
            return False
        mine = self.store.keypoints(i)
        same = mine.shape == keypoints.shape and np.array_equal(encode(mine, self.store.storage),
                                                                encode(keypoints, self.store.storage))
        stored = self.store.scores(i)
        if not same or stored is not None and scores is not None and not np.array_equal(stored, scores):
            self.store.verify_hash([i])  # damaged frames differ, too
            raise UserError(f'sample {name}: {self.store.path} has another clip of this id: rename one of them, or '
                            'import all clips again with --overwrite')
        self.known.add(name)
        return True

    def finish(self, frames: BinaryIO, samples: Sequence[dict], splits: Mapping[str, Iterable[str]], index: dict,
               kind: Kind, most: int) -> None:
        """Write the new clips, and then the ``index.json`` that names them.

        Args:
            frames: Frames of the new clips, as for :func:`write_shards`.
            samples: Entries of all clips of the import; those in :attr:`known` have no frames.
            splits: Name -> ids of clips of the import.
            index: Entries of the import: classes and provenance.
            kind, most: As for :func:`write_shards`.
        """
        path = self.store.path
        new = [sample for sample in samples if sample['id'] not in self.known]
        skipped = index['provenance']['skipped']
        if not new:
            print(f'{path}: nothing new, it has all {len(samples)} clips already')
            if skipped:
                print(f'note: {len(skipped)} were skipped (first: {skipped[0]["id"]}: {skipped[0]["reason"]})')
        with locked(path):
            if SkeletonStore(path).data_hash != self.store.data_hash:
                raise UserError(f'{path} was changed during this import, so nothing was added: import again')
            classes = self._merge_classes(samples, index['classes'])
            masks = masks_of(samples, splits)
            self._report_differences(samples, masks)
            if not new:
                return
            chosen = np.array([sample['id'] not in self.known for sample in samples])
            old = sharded_index(self.store)
            names = list(dict.fromkeys([*old['splits'], *masks]))
            notes = {key: [entry for entry in index['provenance'][key] if entry['id'] not in self.known]
                     for key in NOTES}
            shards, error = write_shards(
                path, frames, new, {name: masks[name][chosen] if name in masks else np.zeros(len(new), bool)
                                    for name in names}, kind, notes, len(old['shards']), most)
            write_index(path, dict(old, classes=classes, splits=names, shards=[*old['shards'], *shards],
                                   provenance=self._provenance(old, index, notes, len(new), error)))
            remove_single(path)
        if kind.storage != 'float32':
            print(said(kind.storage, error, index['units']))
        print(f'{path}: {len(new)} clips added in {len(shards)} shards; {len(self.known)} were there already')

    def _provenance(self, old: dict, index: dict, notes: dict, added: int, error: float) -> dict:
        about = {key: index['provenance'][key] for key in ('source', 'options')}
        provenance = dict(old['provenance'])
        provenance['counts'] = {key: provenance['counts'][key] + len(notes[key]) for key in NOTES}
        if 'largest_error' in provenance:
            provenance['largest_error'] = max(provenance['largest_error'], error)
        provenance['appended'] = [*provenance.get('appended', []),
                                  dict(about, added=added, known=len(self.known), version=__version__)]
        return provenance

    def _merge_classes(self, samples: Sequence[dict], named: list[str]) -> list[str]:
        """Return the classes of both, and renumber the labels of the import. The store's classes keep their numbers."""
        ours = self.store.classes
        labelled = [sample for sample in samples if sample['label'] is not None]
        if not labelled or not named and not ours:
            return ours
        if not ours and (self.store.labels >= 0).any() or not named:
            raise UserError(f'the clips cannot be added to {self.store.path}: the classes of one have names, those of '
                            'the other only numbers: name them with mmskelssl prepare relabel, or in --labels FILE')
        classes = list(dict.fromkeys([*ours, *named]))
        place = {name: i for i, name in enumerate(classes)}
        for sample in labelled:
            sample['label'] = place[named[sample['label']]]
        return classes

    def _report_differences(self, samples: Sequence[dict], masks: Mapping[str, np.ndarray]) -> None:
        """Print how many known clips have another label, subject or split in the source."""
        if not self.known:
            return
        store = self.store
        rows = [i for i, sample in enumerate(samples) if sample['id'] in self.known]
        places = np.array([store.positions[samples[i]['id']] for i in rows])
        for what, column in (('label', store.labels), ('subject', store.subjects)):
            theirs = np.array([-1 if samples[i].get(what) is None else samples[i][what] for i in rows])
            _note(int((theirs != column[places]).sum()), what)
        moved = np.zeros(len(rows), bool)
        for name, mask in masks.items():
            members = store.content.members(name)
            mine = np.isin(places, [] if members is None else members)
            moved |= mask[rows] != mine
        _note(int(moved.sum()), 'split')


def _note(count: int, what: str) -> None:
    if count:
        print(f'note: {count} clips of the store have another {what} in the source; the store keeps its own')
