"""UTKinect-Action3D: ``joints_s01_e01.txt``, rows of a frame number and 20 joints, and ranges in ``actionLabel.txt``.

The published files have faults that are handled here: repeated frames (the last one counts), missing frames, a range
``NaN NaN``, and ranges that end before they begin or lie outside the recording.
"""
import re
from functools import partial

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.importers.splits import split_by
from mmskelssl.datasets.importers.text import label_text, plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['walk', 'sitDown', 'standUp', 'pickUp', 'carry', 'throw', 'push', 'pull', 'waveHands', 'clapHands']
_RECORDING = re.compile(r's(\d{1,2})_e(\d{1,2})')


def import_utkinect(path: str, writer: StoreWriter, *, jobs: Jobs = None) -> None:
    """Folder or zip of UTKinect-Action3D's joint files and actionLabel.txt; splits standard (train, test) and xsub.

    A sample is a labelled range of a recording, such as s01_e01_walk. Subjects 1 to 5 train, 6 to 10 test, in both.
    """
    source = Source(path)
    files = source.files('.txt')
    tables = [name for name in files if stem(name).lower() == 'actionlabel']
    if len(tables) != 1:
        raise UserError(f'{path}: {len(tables)} files actionLabel.txt in it; it needs exactly one')
    try:
        segments, unusable = read_labels(label_text(source.read(tables[0]), 'the file'))
    except ValueError as error:
        raise UserError(f'{tables[0]}: {error}') from error
    files = [name for name in files if stem(name).startswith('joints_')]
    writer.describe('kinect20')
    writer.index['classes'] = CLASSES
    import_files(source, files, partial(read_recording, segments), writer, jobs)
    for name, reason in unusable.items():
        writer.skip(name, reason)
    for recording in sorted(set(segments) - {_recording(name) for name in files}):
        for action in segments[recording]:
            writer.skip(f'{recording}_{action}', 'actionLabel.txt names it, but it has no joints')
    for split in ('', 'xsub'):
        split_by(writer, split, lambda sample: sample['subject'] <= 5)


def _recording(name: str) -> str:
    return stem(name).removeprefix('joints_')


def read_recording(segments: dict[str, dict[str, tuple[int, int]]], name: str, data: bytes) -> list[dict]:
    """Return the samples of a recording."""
    recording = _recording(name)
    match = _RECORDING.fullmatch(recording)
    if not match:
        raise ValueError('the name is not joints_sXX_eXX.txt')
    if recording not in segments:
        raise ValueError('actionLabel.txt does not name it')
    number, joints = _joints(plain_nan(text_of(data)))
    samples: list[dict] = []
    before: dict[str, tuple[int, int]] = {}
    for action, (start, stop) in segments[recording].items():
        inside = (number >= start) & (number <= stop)
        shared = [other for other, (first, last) in before.items() if start <= last and first <= stop]
        before[action] = start, stop
        note = f'its range overlaps that of {" and ".join(shared)}' if shared and inside.any() else ''
        reason = '' if inside.any() else f'no frame in {start}..{stop}; the recording has {number[0]}..{number[-1]}'
        samples.append(dict(name=f'{recording}_{action}', keypoints=joints[None, inside], label=CLASSES.index(action),
                            subject=int(match[1]), episode=int(match[2]), note=note, reason=reason))
    return samples


def read_labels(text: str) -> tuple[dict[str, dict[str, tuple[int, int]]], dict[str, str]]:
    """Return {recording: {action: (first, last frame number)}} and {sample: reason to skip it}."""
    segments: dict[str, dict[str, tuple[int, int]]] = {}
    unusable: dict[str, str] = {}
    recording = None
    for line in filter(None, map(str.strip, text.splitlines())):
        action, colon, span = line.partition(':')
        if not colon:
            recording = line
            if not _RECORDING.fullmatch(recording) or recording in segments:
                raise ValueError(f'{recording[:40]!r} is neither a recording sXX_eXX, once, nor an "action: from to"')
            segments[recording] = {}
            continue
        action, ends = action.strip(), span.split()
        if recording is None:
            raise ValueError(f'{line[:40]!r} comes before the first recording')
        name = f'{recording}_{action[:20]}'
        if action not in CLASSES:
            unusable[name] = f'{action[:20]!r} is none of the actions'
        elif len(ends) != 2 or not all(word.isdecimal() and len(word) < 10 for word in ends):
            unusable[name] = f'its range {" ".join(ends)[:40]!r} is not two frame numbers'
        elif int(ends[0]) > int(ends[1]):
            unusable[name] = f'its range {" ".join(ends)} ends before it begins'
        elif action in segments[recording]:
            unusable[name] = 'it has a second range; the first is used'
        else:
            segments[recording][action] = int(ends[0]), int(ends[1])
    return segments, unusable


def _joints(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending frame numbers (T,) and joints (T,20,3)."""
    rows = {}
    for i, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and len(words) != 61:
            raise ValueError(f'line {i} has {len(words)} values, expected a frame number and 20 joints (61): truncated')
        if words:
            try:
                rows[int(words[0])] = [float(word) for word in words[1:]]
            except ValueError as error:
                raise ValueError(f'line {i}: {str(error)[:80]}') from None
    if not rows:
        raise ValueError('it has no frames')
    if max(map(abs, rows)) > 10**9:
        raise ValueError('a frame number is out of range')
    number = np.array(sorted(rows))
    return number, np.array([rows[n] for n in sorted(rows)]).reshape(-1, 20, 3)
