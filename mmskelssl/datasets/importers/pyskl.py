"""pyskl's and mmaction2's annotation pickles: ``dict(split, annotations, classes)``."""
import re
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from mmskelssl.datasets.importers.axes import MOST_PERSONS
from mmskelssl.datasets.importers.labels import natural
from mmskelssl.datasets.importers.options import Layout, ThirdNumber
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.datasets.importers.source import stem
from mmskelssl.datasets.importers.splits import odd_even_subjects, subject_of
from mmskelssl.datasets.importers.third import PIXELS, Third, check_size, said, third_number, units_of
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, read_layout

Joints = Annotated[Sequence[int] | None, (
    "The file's joint for each joint of the layout, where its order differs (MSR Action3D) or it has more")]
Scale = Annotated[Sequence[float] | None, (
    "Factor of each coordinate, to turn a file's own units into metres and y up")]
Axes = Annotated[Literal['auto', 'MTVC', 'TMVC'], (
    'Order of the axes: M persons, T frames; "auto" takes MTVC, unless total_frames says otherwise')]
Units = Annotated[str | None, 'Units of the coordinates; default m, in 2D px, or relative for numbers from 0 to 1']


def import_pyskl(path: str, writer: StoreWriter, *, layout: Layout, joints: Joints = None, scale: Scale = None,
                 units: Units = None, third: ThirdNumber = None, axes: Axes = 'auto') -> None:
    """Annotation pickle of pyskl or mmaction2, 2D or 3D; its own splits.

    Files of mmaction2 0.x contain only the list of annotations. They become one split, named after the file name
    (``ntu60_xsub_train.pkl``) or else ``train``.

    pyskl's ``_val`` splits are named ``_test`` here, because results on them are test results, unless the file has a
    split of that name, too. A pair ``train_X``,
    ``test_X`` (folds, subsets of classes) becomes ``X_train``, ``X_test``. NW-UCLA has no subject split and also gets
    ``xsub_train`` and ``xsub_test`` (odd and even subjects), which keep all cameras of a performance on one side.
    """
    from rich.progress import track  # imported here: help texts do not need it
    data = load_pickle(path)
    if isinstance(data, list) and any(isinstance(sample, dict) and 'keypoint' in sample for sample in data):
        data = dict(annotations=data)
    if not isinstance(data, dict) or not isinstance(data.get('annotations'), list):
        raise UserError(f"{path}: not a pyskl pickle; it needs the keys 'split' and 'annotations'")
    splits, classes = ({} if data.get('split') is None else data['split'],
                       [] if data.get('classes') is None else data['classes'])
    if not isinstance(splits, dict) or not all(isinstance(key, str) and isinstance(names, list | tuple | np.ndarray)
                                               for key, names in splits.items()):
        raise UserError(f"{path}: 'split' must be a dict of lists of frame_dir")
    if not isinstance(classes, list | tuple):
        raise UserError(f"{path}: 'classes' must be a list of names")
    if len(set(map(str, classes))) < len(classes):
        raise UserError(f"{path}: two of the 'classes' have the same name: give each its own")
    key = _name_key(data['annotations'], splits)
    labels = [sample.get('label') for sample in data['annotations'] if isinstance(sample, dict)]
    if not classes and all(label is None or isinstance(label, str) for label in labels):  # never next to numbers
        classes = sorted({label for label in labels if label is not None}, key=natural)
    classes = [str(name) for name in classes]
    outside = [label for label in labels if isinstance(label, int | np.integer) and label >= len(classes) > 0]
    if outside:
        raise UserError(f"{path}: a sample has the label {outside[0]}, but the {len(classes)} names in 'classes' are "
                        f'for 0 to {len(classes) - 1}: do its labels begin at 1? Correct them, or remove the names')
    skeleton, first = read_layout(layout), _first(data['annotations'])
    meaning = _third(first, skeleton, third, path)
    flat = first is not None and (first.shape[-1] == 2 or first.shape[-1] == 3 and meaning != 'depth')
    if first is not None and first.shape[-1] == 3:
        print(f'{path}: the third number of a joint is ' + dict(score='its score', depth='its depth',
                                                                drop='dropped')[meaning] + ' (--third)')
    width = 3 if first is None else first.shape[-1]
    meaning = 'drop' if width < 3 else meaning
    scored = meaning == 'score' or any(isinstance(sample, dict) and sample.get('keypoint_score') is not None
                                       for sample in data['annotations'])
    unit = units_of(first[..., :2]) if first is not None and flat else 'm' if _metres(first) else 'unknown'
    writer.describe(skeleton, 2 if flat else width, units or unit, scored, said(meaning))
    writer.index['classes'] = classes
    for i, sample in enumerate(track(data['annotations'], 'importing', disable=len(data['annotations']) < 5000)):
        name = sample.get(key, i) if isinstance(sample, dict) else i
        if not isinstance(name, str | int | np.integer):
            writer.skip(str(i), f'its {key} is a {type(name).__name__}, not a name')
            continue
        name = str(name)
        try:
            keypoint = _in_order(np.asarray(sample['keypoint'], np.float32), sample, axes)
            whole = keypoint.shape[1:2]
            keypoint, note = _of_stated_length(keypoint, sample.get('total_frames'))
            if first is not None and keypoint.ndim == 4:
                width = 2 if flat else None
                check_size(keypoint[..., :width], first[..., :width], 'the first sample')
            score = sample.get('keypoint_score')
            if score is not None:
                score = _in_order(np.asarray(score, np.float32)[..., None], sample, axes)[..., 0]
                if keypoint.ndim == 4 and score.shape[1:2] == whole:
                    score = score[:, :keypoint.shape[1]]
                if score.shape != keypoint.shape[:-1]:
                    raise ValueError(f'keypoint_score of shape {score.shape} for keypoint of shape {keypoint.shape}')
            if flat and keypoint.shape[-1] == 3:
                if _third(keypoint, skeleton, third, name) == 'depth':
                    raise ValueError('its third number is a depth, but that of the first sample is a score: set '
                                     '--third')
                own, keypoint = keypoint[..., 2], keypoint[..., :2]
                if meaning != 'drop':
                    score = own
            if flat and score is not None:  # in both forms a joint with score 0 is missing
                keypoint = np.where(score[..., None] > 0, keypoint, 0)
            if scale is not None:
                keypoint = keypoint * np.asarray(scale, np.float32)
            if joints is not None:
                keypoint = keypoint[:, :, list(joints)]
                score = score[:, :, list(joints)] if score is not None else None
            label = sample.get('label')
            if isinstance(label, str) and label not in classes:
                raise ValueError(f'label {label[:40]!r} is ' + ("none of the file's classes" if classes else
                                                                'a name, but those of other samples are integers'))
            label = classes.index(label) if isinstance(label, str) else label
            writer.add(name, keypoint, label, subject_of(name), score)
            if note:
                writer.note(name, note)
        except KeyError as error:
            writer.skip(name, f'no key {error}')
        except (IndexError, TypeError, ValueError) as error:
            writer.skip(name, str(error).removeprefix(f'sample {name}: '))
    there, skipped = {sample['id'] for sample in writer.samples}, {entry['id'] for entry in writer.skipped}
    for split, names in splits.items():
        names = [str(name) for name in names]
        for name in names:
            if name not in there and name not in skipped:
                writer.skip(name, f'split {split} names it, but it has no annotation')
                skipped.add(name)
        writer.set_split(_split_name(split, splits), [name for name in names if name in there])
    if splits and (free := len(there - {name for ids in writer.splits.values() for name in ids})):
        print(f"note: {path}: {free} of {len(there)} clips are in none of the file's splits")
    if not splits:
        part = re.fullmatch(r'(?:.*?_)??((?:xsub|xview|xset)_)?(train|val|test)', stem(path))
        name = f'{part[1] or ""}{dict(val="test").get(part[2], part[2])}' if part else 'train'
        writer.set_split(name, (sample['id'] for sample in writer.samples))
    if set(writer.splits) >= {'train', 'test'} and not any('xsub' in split for split in writer.splits):
        odd_even_subjects(writer)


def _name_key(annotations: list, splits: dict) -> str:
    """Return the key that names samples: ``frame_dir``, or ``filename`` as in some files of mmaction2."""
    wanted = {str(name) for names in splits.values() for name in names}
    keys = ('frame_dir', 'filename')
    found = {key: {str(sample[key]) for sample in annotations if isinstance(sample, dict) and isinstance(
        sample.get(key), str | int | np.integer)} for key in keys}
    return max(keys, key=lambda key: (len(found[key] & wanted), len(found[key])))


def _of_stated_length(keypoint: np.ndarray, stated) -> tuple[np.ndarray, str]:
    """Return keypoints (M, T, V, C) without empty frames after ``total_frames``, and a note if the lengths differ."""
    frames = keypoint.shape[1] if keypoint.ndim == 4 else 0
    if not isinstance(stated, int | np.integer) or isinstance(stated, bool) or stated == frames or not frames:
        return keypoint, ''
    if 0 < stated < frames and not keypoint[:, stated:].any():
        return keypoint[:, :stated], f'{frames - stated} empty frames after its total_frames ({stated}) left out'
    return keypoint, f'its total_frames is {stated}, but its keypoint has {frames} frames, which are all kept'


def _first(annotations: list) -> np.ndarray | None:
    """Return the keypoints of the first valid sample that shows a body."""
    for sample in annotations:
        keypoint = sample.get('keypoint') if isinstance(sample, dict) else None
        if isinstance(keypoint, np.ndarray) and keypoint.ndim in (3, 4) and keypoint.dtype.kind in 'fiu' and (
                keypoint.any()):
            return np.asarray(keypoint if keypoint.ndim == 4 else keypoint[None], np.float32)
    return None


def _third(keypoint: np.ndarray | None, layout: SkeletonLayout, third: Third | None,
           where: str) -> Third:
    if keypoint is None or keypoint.shape[-1] != 3:
        return third or 'depth'
    try:
        return third_number(keypoint, layout, third)
    except ValueError as error:
        raise UserError(f'{where}: {error}') from None


def _metres(keypoint: np.ndarray | None) -> bool:
    return keypoint is None or np.nanmax(np.abs(keypoint), initial=0) < PIXELS


def _in_order(keypoint: np.ndarray, sample: dict, axes: str) -> np.ndarray:
    """Return (M, T, V, C), based on the sample's frame count. Some tools store (T, M, V, C)."""
    if keypoint.ndim != 4:
        return keypoint[None] if keypoint.ndim == 3 else keypoint  # one person
    persons, frames = keypoint.shape[:2]
    stated = sample.get('total_frames')
    if axes == 'auto' and isinstance(stated, int | np.integer) and stated in (persons, frames):
        axes = 'MTVC' if stated == frames else 'TMVC'
    if axes == 'auto' and (persons > MOST_PERSONS and persons > frames or persons > 10):
        raise ValueError(f'shape {keypoint.shape} would be {persons} persons of {frames} frames'
                         + (f', but total_frames is {stated}' if stated is not None else '')
                         + ': choose with --axes MTVC or TMVC')
    return keypoint.swapaxes(0, 1) if axes == 'TMVC' else keypoint


def _split_name(split: str, splits: dict) -> str:
    part, _, name = split.partition('_')
    if part in ('train', 'test') and name and {f'train_{name}', f'test_{name}'} <= set(splits):
        return f'{name}_{part}'
    test = re.sub('_val$', '_test', split)
    return split if test in splits else test
