"""PKU-MMD, parts I and II: continuous recordings, cut into actions by the label files."""
import re

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = [
    'bow', 'brush hair', 'brush teeth', 'check time', 'cheer up', 'clapping', 'cross hands in front', 'drink water',
    'drop', 'eat meal', 'falling', 'give something to another person', 'hand waving', 'handshaking', 'hopping',
    'hug another person', 'jump up', 'kick another person', 'kick something', 'make a phone call',
    'pat on the back of another person', 'pick up', 'play with phone', 'point finger at another person',
    'point to something', 'punch another person', 'push another person', 'put on a hat', 'put something into pocket',
    'reading', 'rub two hands', 'salute', 'sit down', 'stand up', 'take off a hat', 'take off glasses',
    'take off jacket', 'take out something from pocket', 'take a selfie', 'tear up paper', 'throw', 'touch back',
    'touch chest', 'touch head', 'touch neck', 'type on a keyboard', 'use a fan', 'put on jacket', 'put on glasses',
    'wipe face', 'writing']
_RECORDING = re.compile(r'[A-Z0-9]+-[LMR]')


def import_pkummd(path: str, writer: StoreWriter, *, jobs: Jobs = None) -> None:
    """Folder or zip of PKU-MMD part I or II with its skeleton, label and Split folders; splits xsub, xview.

    A skeleton file has a line of 150 numbers per frame (two bodies of 25 joints). The label file of the same name has
    lines ``label,start,end,confidence``, with frames counted from 0 and an exclusive end. Intervals that are reversed,
    empty, outside the recording or without a body are skipped with a reason. Overlapping ones are kept and reported.
    """
    source = Source(path)
    texts = source.files('.txt')
    labels: dict[str, str] = {}
    for name in (name for name in texts if 'label' in _folder(name)):
        if (other := labels.setdefault(stem(name), name)) != name:
            raise UserError(f'{path}: {other} and {name} label the same recording: keep one of them')
    recordings = [name for name in texts if 'skeleton' in _folder(name) and _RECORDING.fullmatch(stem(name))]
    if not recordings:
        raise UserError(f'{path}: no skeleton files; the folder should hold Skeleton/0002-L.txt and so on, with the '
                        'same names in Label/, and Split/')
    writer.describe('ntu25')
    writer.index['classes'] = CLASSES
    import_files(source, recordings, _Recording(source, labels), writer, jobs)
    for recording in sorted(labels.keys() - {stem(name) for name in recordings}):
        writer.skip(recording, 'it has a label file, but no skeleton file')
    for wish, split in (('subject', 'xsub'), ('view', 'xview')):
        files = [name for name in texts if 'split' in _folder(name) and wish in stem(name).lower()]
        if not files:
            print(f'note: no file of the {split} split (Split/cross-{wish}.txt)')
        parts: dict[str, set[str]] = {}
        for name in files:  # parts I and II of the data set have one each
            for part, members in read_split(source.text(name)).items():
                parts.setdefault(part, set()).update(members)
        for part, members in parts.items():
            writer.set_split(f'{split}_{part}', (s['id'] for s in writer.samples if s['recording'] in members))


def _folder(name: str) -> str:
    return '/'.join(name.lower().split('/')[:-1])


class _Recording:
    """Reads a recording and its label file."""

    def __init__(self, source: Source, labels: dict[str, str]):
        self.source, self.labels = source, labels

    def __call__(self, name: str, data: bytes) -> list[dict]:
        recording = stem(name)
        if recording not in self.labels:
            raise ValueError(f'it has no label file {recording}.txt')
        return cut(recording, read_frames(plain_nan(text_of(data))), text_of(self.source.read(self.labels[recording])))


def read_frames(text: str) -> np.ndarray:
    """Read (2, T, 25, 3) from a skeleton file."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        values = line.replace(',', ' ').split()
        if not values:
            continue
        if len(values) != 150:
            raise ValueError(f'line {number}: {len(values)} numbers, expected 150')
        try:
            rows.append(np.array(values, np.float64))
        except ValueError:
            raise ValueError(f'line {number}: not only numbers in it') from None
    if not rows:
        raise ValueError('it is empty')
    return np.stack(rows).reshape(-1, 2, 25, 3).swapaxes(0, 1)


def cut(recording: str, frames: np.ndarray, labels: str) -> list[dict]:
    """Return samples of a recording: ``name``, ``keypoints``, ``label``, ...; ``name`` and ``reason`` if skipped."""
    samples: list[dict] = []
    before: list[tuple[str, tuple[int, int]]] = []
    for number, line in enumerate(labels.splitlines(), 1):
        if not line.strip():
            continue
        name = f'{recording}-{number:03d}'
        try:
            label, start, end = (int(float(value)) for value in line.split(',')[:3])
        except (OverflowError, ValueError):
            samples.append(dict(name=name, reason=f'label line {number} is not label,start,end,confidence: '
                                                  f'{line[:40]!r}'))
            continue
        reason = _fault(label, start, end, frames)
        if reason:
            samples.append(dict(name=name, reason=f'label line {number}: {reason}'))
            continue
        there = frames[:, start:end].any((1, 2, 3))
        overlap = [other for other, (first, last) in before if start < last and first < end]
        before.append((name, (start, end)))
        samples.append(dict(
            name=name, keypoints=frames[there, start:end], label=label - 1, recording=recording, start=start, end=end,
            **(dict(note=f'overlaps {overlap[0]}') if overlap else {}), **_subject(recording)))
    return samples


def _subject(recording: str) -> dict:
    match = re.match(r'A(\d+)N(\d+)', recording)  # part II names action list and subject; part I has numbers only
    return dict(subject=int(match.group(2))) if match else {}


def _fault(label: int, start: int, end: int, frames: np.ndarray) -> str:
    if not 1 <= label <= len(CLASSES):
        return f'label {label} is outside 1..{len(CLASSES)}'
    if end <= start:
        return f'the interval {start}..{end} is {"empty" if end == start else "reversed"}'
    if start < 0 or end > frames.shape[1]:
        return f'the interval {start}..{end} exceeds the recording of {frames.shape[1]} frames'
    if not frames[:, start:end].any():
        return f'no person is visible in {start}..{end}'
    return ''


def read_split(text: str) -> dict[str, set[str]]:
    """Read the recordings of ``train`` and ``test`` from a split file of the data set."""
    parts: dict[str, set[str]] = {}
    part = None
    for line in text.splitlines():
        heading = line.lower()
        if 'train' in heading:
            part = 'train'
        elif 'valid' in heading or 'test' in heading:
            part = 'test'
        if part:
            parts.setdefault(part, set()).update(_RECORDING.findall(line))
    return parts
