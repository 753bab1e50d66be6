"""Arrays of the AimCLR and ActCLR code: ``train_position.npy`` (N, 3, T, 25, 2), ``train_label.pkl``, same for val."""
import os
import os.path as osp
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.import_files import add_or_skip
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.datasets.importers.splits import subject_of
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError


def import_official_npy(
        path: str, writer: StoreWriter, *,
        protocol: Annotated[str, 'Name of the splits: PROTOCOL_train and PROTOCOL_test'] = 'xsub') -> None:
    """Folder with train_position.npy, train_label.pkl, val_position.npy, val_label.pkl of AimCLR's or ActCLR's tools.

    The clips are already centred, resized and turned; a pipeline of SelectPersons, ResizeFrames and PackSkeleton leaves
    them as they are.
    """
    from rich.progress import track  # only here: help texts do without it
    parts = [(part, osp.join(path, f'{prefix}_position.npy'), osp.join(path, f'{prefix}_label.pkl'))
             for prefix, part in (('train', 'train'), ('val', 'test'))]
    there = [part for part in parts if osp.isfile(part[1])]
    if not there:
        raise UserError(f'{path}: neither train_position.npy nor val_position.npy in it')
    writer.describe('ntu25', units='m, centred')
    for part, positions, labels in there:
        clips, names, classes = _load(positions, labels)
        for name, label, clip in track(zip(names, classes, clips, strict=True), f'importing {part}', total=len(names),
                                       disable=len(names) < 5000):
            keypoints = np.asarray(clip).transpose(3, 1, 2, 0)
            seen = keypoints.any((1, 2, 3))
            seen[0] = True  # where nobody is seen, verify shall find the sample
            add_or_skip(writer, name, keypoints=keypoints[seen], label=label, subject=subject_of(name))
        wanted = set(names)
        writer.set_split(f'{protocol}_{part}', [s['id'] for s in writer.samples if s['id'] in wanted])


def _load(positions: str, labels: str):
    try:
        clips = np.load(positions, mmap_mode='r', allow_pickle=False)
    except (EOFError, OSError, ValueError) as error:
        raise UserError(f'{positions} cannot be read: {error}') from error
    if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[3] != 25 or not clips.shape[4]:
        raise UserError(f'{positions} has shape {clips.shape}, expected (N, 3, T, 25, M)')
    if clips.dtype.kind not in 'fiu':
        raise UserError(f'{positions} is an array of {clips.dtype}, not of numbers')
    if not os.path.isfile(labels):
        raise UserError(f'{labels} is missing; {positions} needs the names and labels in it')
    content = load_pickle(labels)
    try:
        names, classes = content
        names, classes = [str(name).rsplit('.', 1)[0] for name in names], [int(label) for label in classes]
    except (TypeError, ValueError) as error:
        raise UserError(f'{labels} does not hold (names, labels): {error}') from error
    if not len(names) == len(classes) == len(clips):
        raise UserError(f'{labels} has {len(names)} names and {len(classes)} labels for the {len(clips)} clips of '
                        f'{positions}')
    return clips, names, classes
