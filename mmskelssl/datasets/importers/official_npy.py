"""Arrays (N, 3, T, V, M) next to ``train_label.pkl``, and the same for val, as written by the tools of ST-GCN.

``train_data.npy`` (ST-GCN), ``train_data_joint.npy`` (2s-AGCN, MS-G3D), ``train_position.npy`` (CrosSCLR, AimCLR,
ActCLR). V is 25 for NTU RGB+D, 18 for Kinetics-skeleton, whose third channel is the score.
"""
import operator
import os
import os.path as osp
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.axes import drop_padding
from mmskelssl.datasets.importers.import_files import add_or_skip
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.datasets.importers.splits import subject_of
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

_NAMES = ('position', 'data_joint', 'data', 'data_joint_pad')
_LAYOUTS = {25: ('ntu25', False), 18: ('coco18', True)}


def import_official_npy(
        path: str, writer: StoreWriter, *,
        protocol: Annotated[str, 'Name of the splits: PROTOCOL_train and PROTOCOL_test'] = 'xsub') -> None:
    """Folder with train_NAME.npy, train_label.pkl, val_NAME.npy, val_label.pkl of ST-GCN, 2s-AGCN, AimCLR.

    NAME is position, data_joint or data. The clips of position.npy are already centred, resized and rotated. A pipeline
    of SelectPersons, ResizeFrames and PackSkeleton does not change them.
    """
    from rich.progress import track  # imported here: help texts do not need it
    parts = []
    for prefix, part in (('train', 'train'), ('val', 'test'), ('test', 'test')):
        found = [file for name in _NAMES if osp.isfile(file := osp.join(path, f'{prefix}_{name}.npy'))]
        if len(found) > 1:
            raise UserError(f'{found[0]} and {osp.basename(found[1])}: keep one of them in the folder')
        parts += [(part, file, osp.join(path, f'{prefix}_label.pkl')) for file in found]
    if not parts:
        raise UserError(f'{path}: no train_NAME.npy or val_NAME.npy in it, NAME one of {", ".join(_NAMES)}')
    layout, flat = _LAYOUTS[_load(*parts[0][1:])[0].shape[3]]
    writer.describe(layout, 2 if flat else 3, 'relative, centred' if flat else 'm, centred',
                    scores=flat, third='score' if flat else 'depth')
    names_of = [set(_load(positions, labels)[1]) for _, positions, labels in parts]
    shared = len(set().union(*names_of)) < sum(map(len, names_of))
    if shared:
        print(f'{path}: some names occur in several parts, so all clips are named PART/NAME')
    for part, positions, labels in parts:
        clips, names, classes = _load(positions, labels)
        subjects = [subject_of(name) for name in names]
        names = [f'{part}/{name}' for name in names] if shared else names
        padded = not positions.endswith('position.npy')  # with zero frames, to 300
        clips_of = zip(names, classes, subjects, clips, strict=True)
        for name, label, subject, clip in track(clips_of, f'importing {part}', total=len(names),
                                                disable=len(names) < 5000):
            keypoints = np.asarray(clip).transpose(3, 1, 2, 0)
            if flat:  # x, y, score
                keypoints = np.where(keypoints[..., 2:] > 0, keypoints, 0)
            if padded:
                keypoints = drop_padding(keypoints) if keypoints.size else keypoints
            else:
                seen = keypoints.any((1, 2, 3))
                seen[0] = True  # a clip without persons is kept for verify to report
                keypoints = keypoints[seen]
            scores = keypoints[..., 2] if flat else None
            add_or_skip(writer, name, keypoints=keypoints[..., :2] if flat else keypoints, scores=scores, label=label,
                        subject=subject)
        wanted = set(names)
        writer.set_split(f'{protocol}_{part}', [s['id'] for s in writer.samples if s['id'] in wanted])


def _whole(label) -> int:
    if isinstance(label, (bool, np.bool_)):
        raise TypeError('a label is True or False, not a number')
    return operator.index(label)


def _text(name) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _load(positions: str, labels: str):
    try:
        clips = np.load(positions, mmap_mode='r', allow_pickle=False)
    except Exception as error:  # NumPy's parser of headers raises errors of several kinds
        raise UserError(f'{positions} cannot be read: {" ".join(str(error).split())}') from error
    if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[3] not in _LAYOUTS or not clips.shape[4]:
        raise UserError(f'{positions} has shape {clips.shape}, expected (N, 3, T, 25 or 18, M)')
    if clips.dtype.kind not in 'fiu':
        raise UserError(f'{positions} is an array of {clips.dtype}, not of numbers')
    if not os.path.isfile(labels):
        raise UserError(f'{labels} is missing; {positions} needs the names and labels in it')
    content = load_pickle(labels)
    try:
        names, classes = content
        names, classes = [_text(name).rsplit('.', 1)[0] for name in names], [_whole(label) for label in classes]
    except (TypeError, ValueError) as error:  # also of bytes that are no text
        raise UserError(f'{labels} does not hold (names, labels): {error}') from error
    if not len(names) == len(classes) == len(clips):
        raise UserError(f'{labels} has {len(names)} names and {len(classes)} labels for the {len(clips)} clips of '
                        f'{positions}')
    return clips, names, classes
