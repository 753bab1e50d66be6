"""Writes features for other programs: npz, parquet, TensorBoard's projector."""
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.visualization.projector import write_projector


def save_features(path: str, features: Features, classes: list[str],
                  more: Mapping[str, np.ndarray] | None = None) -> None:
    """Write features and what is known of their clips atomically. The suffix chooses the format.

    ``.parquet`` is a table with the columns ``id``, ``label`` (-1: none), ``class`` (null: none), ``feature`` (a list
    of D numbers) and one for each further array. Any other file is an npz with ``features``, ``labels``, ``ids``,
    ``classes`` and the further arrays.

    Args:
        path: File to write.
        features: The features.
        classes: Class names; empty if there are none.
        more: Further arrays of N values.

    Raises:
        UserError: If the file cannot be written, or pyarrow is missing.
    """
    more = more or {}
    table = path.lower().endswith('.parquet')
    data = _parquet(path, features, classes, more) if table else _npz(features, classes, more)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another place with --out') \
            from error


def _npz(features: Features, classes: list[str], more: Mapping[str, np.ndarray]) -> bytes:
    data = io.BytesIO()
    np.savez(data, features=features.feats, labels=features.labels, ids=np.array(features.ids, dtype=str),
             classes=np.array(classes, dtype=str), **dict[str, Any](more))
    return data.getvalue()


def _parquet(path: str, features: Features, classes: list[str], more: Mapping[str, np.ndarray]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f'{path}: parquet needs pyarrow: pip install pyarrow, or write an npz') from None
    flat = pyarrow.array(np.ascontiguousarray(features.feats, np.float32).ravel())
    table = pyarrow.table({'id': features.ids, 'label': features.labels, 'class': class_names(features, classes),
                           'feature': pyarrow.FixedSizeListArray.from_arrays(flat, features.feats.shape[1]), **more})
    data = io.BytesIO()
    pyarrow.parquet.write_table(table, data)
    return data.getvalue()


def class_names(features: Features, classes: list[str]) -> list[str | None]:
    """Return the class name of each clip, the number of its class without names, and None without a label."""
    return [None if label < 0 else classes[label] if label < len(classes) else str(label)
            for label in features.labels.tolist()]


def save_projector(folder: str, features: Features, classes: list[str], read: Callable[[int], np.ndarray],
                   layout: SkeletonLayout, more: Mapping[str, np.ndarray] | None = None) -> str:
    """Write features for TensorBoard's projector, and return a line about them."""
    names = ['' if name is None else name for name in class_names(features, classes)]
    about: dict[str, Any] = {'id': features.ids, 'class': names, **(more or {})}
    side = write_projector(folder, features.feats, about, read, layout)
    shown = f'pictures of {side} pixels' if side else 'without pictures, because there are too many clips'
    return f'{folder}: {len(features)} points, {shown}; show them with tensorboard --logdir {folder}'
