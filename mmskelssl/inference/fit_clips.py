"""Chooses the clips and classes that a classifier is fitted and measured on."""
import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.evaluation.splits import default_pairs


def tests_of(store: SkeletonStore, train_split: str) -> list[str]:
    try:
        return [pair.test for pair in default_pairs(store.splits) if pair.train == train_split]
    except UserError:  # no pair: the card says that there is no test split
        return []


def classes_of(store: SkeletonStore, split: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Return class numbers of the clips without gaps, the names of these classes, and those without clips."""
    rows = store.split(split)
    labels = store.labels[rows]
    bare = np.flatnonzero(labels < 0)
    if len(bare):
        raise UserError(f'sample {store.ids[rows[bare[0]]]} of split {split!r} has no label ({len(bare)} of '
                        f'{len(labels)} have none); a classifier needs labels')
    names = store.classes or [str(i) for i in range(int(labels.max()) + 1)]
    if labels.max() >= len(names):
        raise UserError(f'{store.path}: a label is outside its {len(names)} classes: repair the store first')
    there, numbers = np.unique(labels, return_inverse=True)
    if len(there) < 2:
        raise UserError(f'all {len(labels)} clips of split {split!r} have the class {names[there[0]]!r}; at least two '
                        'are needed')
    kept = [names[label] for label in there]
    if len(set(kept)) < len(kept):
        raise UserError(f'{store.path}: two classes have the same name')
    return numbers, kept, [name for label, name in enumerate(names) if label not in set(there.tolist())]


def class_numbers(store: SkeletonStore, split: str, classes: list[str]) -> np.ndarray:
    """Return the class numbers of a test split; K for a class that the classifier does not have."""
    names = store.classes or [str(i) for i in range(int(store.labels.max()) + 1)]
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place.get(names[label], len(classes)) for label in store.labels[store.split(split)]])


def check_test_split(store: SkeletonStore, train: str, test: str) -> None:
    rows = store.split(test)
    if (store.labels[rows] < 0).any():
        raise UserError(f'split {test!r} has clips without a label; choose another with --test-splits')
    shared = set(rows.tolist()) & set(store.split(train).tolist())
    if shared:
        raise UserError(f'sample {store.ids[min(shared)]} is in the splits {train!r} and {test!r} ({len(shared)} are '
                        'in both); choose others with --train-split and --test-splits')


def others(labels: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(len(labels)), part)
