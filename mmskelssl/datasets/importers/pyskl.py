"""pyskl's and mmaction2's annotation pickles: ``dict(split, annotations, classes)``."""
import re
from collections.abc import Sequence

import numpy as np
from rich.progress import track

from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.datasets.store_writer import StoreWriter
from mmskelssl.errors import UserError

_SUBJECT = re.compile(r'_s(\d+)_e\d+|P(\d{3})R\d{3}A\d{3}')


def subject_of(name: str) -> int | None:
    """Subject in a file name of NW-UCLA or MSR (``a01_s03_e02``) or NTU (``S001C001P003R001A001``)."""
    match = _SUBJECT.search(name)
    return int(match.group(1) or match.group(2)) if match else None


def import_pyskl(path: str, writer: StoreWriter, joints: Sequence[int] | None = None) -> None:
    """Samples, labels and splits of an annotation pickle.

    pyskl's ``_val`` splits are named ``_test`` here, as everything measured on them is a test; a pair ``train_X``,
    ``test_X`` (folds, subsets of classes) becomes ``X_train``, ``X_test``. NW-UCLA, which has no
    subject split of its own, also gets ``xsub_train`` and ``xsub_test`` (odd and even subjects), which no file of
    another camera can leak through.

    Args:
        joints: The file's joint for each joint of the layout, where its order is another (MSR Action3D) or has more.
    """
    data = load_pickle(path)
    if not isinstance(data, dict) or not isinstance(data.get('annotations'), list):
        raise UserError(f"{path}: no pyskl pickle; it needs the keys 'split' and 'annotations'")
    if not isinstance(data.get('split') or {}, dict):
        raise UserError(f"{path}: 'split' must be a dict of lists of frame_dir")
    writer.index['classes'] = [str(name) for name in data.get('classes', [])]
    for i, sample in enumerate(track(data['annotations'], 'importing', disable=len(data['annotations']) < 5000)):
        name = str(sample.get('frame_dir', i)) if isinstance(sample, dict) else str(i)
        try:
            keypoint = np.asarray(sample['keypoint'], np.float32)
            if joints is not None:
                keypoint = keypoint[:, :, list(joints)]
            writer.add(name, keypoint, sample.get('label'), subject_of(name))
        except KeyError as error:
            writer.skip(name, f'no key {error}')
        except (IndexError, TypeError, ValueError) as error:
            writer.skip(name, str(error).removeprefix(f'sample {name}: '))
    there, skipped = {sample['id'] for sample in writer.samples}, {entry['id'] for entry in writer.skipped}
    for split, names in (data.get('split') or {}).items():
        names = [str(name) for name in names]
        for name in names:
            if name not in there and name not in skipped:
                writer.skip(name, f'split {split} names it, but there is no annotation of it')
                skipped.add(name)
        writer.set_split(_split_name(split, data['split']), [name for name in names if name in there])
    if set(writer.splits) >= {'train', 'test'} and not any('xsub' in split for split in writer.splits):
        subject_splits(writer)


def _split_name(split: str, splits: dict) -> str:
    part, _, name = split.partition('_')
    if part in ('train', 'test') and name and {f'train_{name}', f'test_{name}'} <= set(splits):
        return f'{name}_{part}'
    return re.sub('_val$', '_test', split)


def subject_splits(writer: StoreWriter) -> None:
    """Splits by subject, where every sample has one: odd subjects train, even subjects test."""
    if all(sample['subject'] is not None for sample in writer.samples):
        for split, rest in (('xsub_train', 1), ('xsub_test', 0)):
            writer.set_split(split, [s['id'] for s in writer.samples if s['subject'] % 2 == rest])
