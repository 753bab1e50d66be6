"""pyskl's and mmaction2's annotation pickles: ``dict(split, annotations, classes)``."""
import re
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.options import KeepScores, Layout
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.datasets.importers.splits import odd_even_subjects, subject_of
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import read_layout

Joints = Annotated[Sequence[int] | None, (
    "The file's joint for each joint of the layout, where its order differs (MSR Action3D) or it has more")]
Scale = Annotated[Sequence[float] | None, (
    "Factor of each coordinate, to turn a file's own units into metres and y up")]
Units = Annotated[str | None, 'Units of the coordinates; default m, in 2D px']


def import_pyskl(path: str, writer: StoreWriter, *, layout: Layout, joints: Joints = None, scale: Scale = None,
                 units: Units = None, scores: KeepScores = False) -> None:
    """Annotation pickle of pyskl or mmaction2, 2D or 3D; its own splits.

    pyskl's ``_val`` splits are named ``_test`` here, as everything measured on them is a test; a pair ``train_X``,
    ``test_X`` (folds, subsets of classes) becomes ``X_train``, ``X_test``. NW-UCLA, which has no
    subject split of its own, also gets ``xsub_train`` and ``xsub_test`` (odd and even subjects), which no file of
    another camera can leak through.
    """
    from rich.progress import track  # only here: help texts do without it
    data = load_pickle(path)
    if not isinstance(data, dict) or not isinstance(data.get('annotations'), list):
        raise UserError(f"{path}: no pyskl pickle; it needs the keys 'split' and 'annotations'")
    splits, classes = data.get('split') or {}, data.get('classes') or []
    if not isinstance(splits, dict) or not all(isinstance(key, str) and isinstance(names, list | tuple | np.ndarray)
                                               for key, names in splits.items()):
        raise UserError(f"{path}: 'split' must be a dict of lists of frame_dir")
    if not isinstance(classes, list | tuple):
        raise UserError(f"{path}: 'classes' must be a list of names")
    flat, channels = _channels(data['annotations'], False) == 2, _channels(data['annotations'], scores)
    writer.describe(read_layout(layout), channels, units or ('px' if flat else 'm'))
    writer.index['classes'] = [str(name) for name in classes]
    for i, sample in enumerate(track(data['annotations'], 'importing', disable=len(data['annotations']) < 5000)):
        name = str(sample.get('frame_dir', i)) if isinstance(sample, dict) else str(i)
        try:
            keypoint = np.asarray(sample['keypoint'], np.float32)
            if scale is not None:
                keypoint = keypoint * np.asarray(scale, np.float32)
            if keypoint.shape[-1] == 2 and channels == 3:
                keypoint = np.concatenate([keypoint, np.asarray(sample['keypoint_score'], np.float32)[..., None]], -1)
            if joints is not None:
                keypoint = keypoint[:, :, list(joints)]
            writer.add(name, keypoint, sample.get('label'), subject_of(name))
        except KeyError as error:
            writer.skip(name, f'no key {error}')
        except (IndexError, TypeError, ValueError) as error:
            writer.skip(name, str(error).removeprefix(f'sample {name}: '))
    there, skipped = {sample['id'] for sample in writer.samples}, {entry['id'] for entry in writer.skipped}
    for split, names in splits.items():
        names = [str(name) for name in names]
        for name in names:
            if name not in there and name not in skipped:
                writer.skip(name, f'split {split} names it, but there is no annotation of it')
                skipped.add(name)
        writer.set_split(_split_name(split, splits), [name for name in names if name in there])
    if set(writer.splits) >= {'train', 'test'} and not any('xsub' in split for split in writer.splits):
        odd_even_subjects(writer)


def _channels(annotations: list, scores: bool) -> int:
    """Channels of the first sound sample, with its score where one is wanted and there."""
    for sample in annotations:
        if isinstance(sample, dict) and getattr(sample.get('keypoint'), 'ndim', 0) == 4:
            channels = sample['keypoint'].shape[-1]
            return 3 if channels == 2 and scores and 'keypoint_score' in sample else channels
    return 3


def _split_name(split: str, splits: dict) -> str:
    part, _, name = split.partition('_')
    if part in ('train', 'test') and name and {f'train_{name}', f'test_{name}'} <= set(splits):
        return f'{name}_{part}'
    return re.sub('_val$', '_test', split)
