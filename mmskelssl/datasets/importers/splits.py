"""Splits shared by several data sets."""
import re
from collections.abc import Callable

from mmskelssl.datasets.store.writer import StoreWriter

_SUBJECT = re.compile(r'[as]\d+_s(\d+)_[et]\d+|P(\d{3})R\d{3}A\d{3}')


def subject_of(name: str) -> int | None:
    """Subject in a name of NW-UCLA or MSR (``a01_s03_e02``), UTD (``a1_s3_t2``) or NTU (``S001C001P003R001A001``)."""
    match = _SUBJECT.search(name)
    return int(match.group(1) or match.group(2)) if match else None


def split_by(writer: StoreWriter, name: str, trains: Callable[[dict], bool]) -> None:
    """Set ``NAME_train`` and ``NAME_test``, or ``train`` and ``test`` if the name is empty.

    Args:
        trains: Function of a sample of ``index.json`` that returns whether it is for training.
    """
    prefix = f'{name}_' if name else ''
    for part, wanted in (('train', True), ('test', False)):
        writer.set_split(prefix + part, (s['id'] for s in writer.samples if bool(trains(s)) == wanted))


def odd_even_subjects(writer: StoreWriter, name: str = 'xsub') -> None:
    """Assign odd subjects to training and even ones to test, if every sample has a subject."""
    if all(sample['subject'] is not None for sample in writer.samples):
        split_by(writer, name, lambda sample: sample['subject'] % 2)
