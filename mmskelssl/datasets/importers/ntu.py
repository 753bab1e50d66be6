"""NTU RGB+D 60 and 120: raw ``.skeleton`` text files, one per sequence."""
import glob
import os.path as osp
import re
from functools import partial
from typing import Annotated, Literal

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.ntu_classes import NTU_CLASSES
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.importers.splits import split_by
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

# The data set's own protocols: subjects of the x-sub training parts (docs/methods.md 0.1 for the first 40 subjects).
TRAIN_SUBJECTS = frozenset((
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103))
NAME = re.compile(r'S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})')
JOINTS = 25
_OF_A_JOINT = 12  # values in its line, of which the first three are its position in metres
# Bodies in fewer frames, or wider than this share of their height in most frames, are furniture, not persons.
SHORT, WIDE, MOSTLY = 12, 0.8, 0.7


Persons = Annotated[Literal['file-order', 'energy'], (
    'Which two of several bodies: file-order takes the first two of each frame, as AimCLR and ActCLR do; energy '
    'tracks bodies by their id, drops spurious ones, and takes the two that move most')]
Missing = Annotated[str | None, (
    "The data set's list of samples with missing skeletons, one name per line; default every file named "
    '*missing_skeletons.txt in the folder or zip, or next to it')]


def import_ntu60(path: str, writer: StoreWriter, *, persons: Persons = 'file-order', missing: Missing = None,
                 jobs: Jobs = None) -> None:
    """Folder or zip of raw .skeleton files of actions 1 to 60; splits xsub, xview.
    """
    _import(path, writer, 60, persons, missing, jobs)
    split_by(writer, 'xsub', lambda sample: sample['subject'] in TRAIN_SUBJECTS)
    split_by(writer, 'xview', lambda sample: sample['camera'] != 1)


def import_ntu120(path: str, writer: StoreWriter, *, persons: Persons = 'file-order', missing: Missing = None,
                  jobs: Jobs = None) -> None:
    """Folder or zip of raw .skeleton files of actions 1 to 120; splits xsub, xset.
    """
    _import(path, writer, 120, persons, missing, jobs)
    split_by(writer, 'xsub', lambda sample: sample['subject'] in TRAIN_SUBJECTS)
    split_by(writer, 'xset', lambda sample: sample['setup'] % 2 == 0)


def _import(path, writer, classes, persons, missing, jobs):
    source = Source(path)
    names = source.files('.skeleton')
    if not names:
        raise UserError(f'{path}: no .skeleton files in it')
    writer.describe('ntu25')
    writer.index['classes'] = NTU_CLASSES[:classes]
    excluded = _missing_list(source, missing)
    for name in (name for name in names if stem(name) in excluded):
        writer.skip(stem(name), 'it is on the list of missing skeletons')
    wanted = [name for name in names if stem(name) not in excluded]
    import_files(source, wanted, partial(read_skeleton, classes=classes, persons=persons), writer, jobs)
    if not excluded:
        print('note: without the list of missing skeletons (--missing) the numbers of samples differ from the '
              "published ones; the data set's authors publish it as samples_with_missing_skeletons.txt")


def _missing_list(source: Source, file: str | None) -> set[str]:
    if file is not None:
        listed = set(NAME_ANY.findall(Source(file).text()))
        if not listed:
            raise UserError(f'--missing {file}: no name such as S001C001P001R001A001 in it')
        return listed
    beside = glob.glob(osp.join(glob.escape(osp.dirname(osp.abspath(source.path))), '*missing_skeletons.txt'))
    texts = [source.text(name) for name in source.files('missing_skeletons.txt')]
    return {name for text in [*texts, *(Source(name).text() for name in beside)] for name in NAME_ANY.findall(text)}


NAME_ANY = re.compile(NAME.pattern.replace('(', '(?:'))


def read_skeleton(name: str, data: bytes, classes: int = 120, persons: str = 'file-order') -> list[dict]:
    """Read the sample of a raw file as arguments of :meth:`StoreWriter.add`. A ValueError names the damaged line."""
    match = NAME.fullmatch(stem(name))
    if not match:
        raise ValueError('the name is not SsssCcccPpppRrrrAaaa.skeleton')
    setup, camera, subject, replication, action = map(int, match.groups())
    if not 1 <= action <= classes:
        raise ValueError(f'action {action} is outside 1..{classes}')
    frames = parse_skeleton(plain_nan(text_of(data)))
    keypoints = by_energy(frames) if persons == 'energy' else in_file_order(frames)
    return [dict(name=stem(name), keypoints=keypoints, label=action - 1, subject=subject, camera=camera, setup=setup,
                 replication=replication)]


def parse_skeleton(text: str, count_of_joints: int = JOINTS) -> list[list[tuple[str, np.ndarray]]]:
    """Return the frames of a raw file, each a list of bodies (id, joints (V, 3))."""
    lines, at = text.splitlines(), 0

    def take(kind=int):
        nonlocal at
        if at == len(lines):
            raise ValueError(f'line {at + 1}: the file ends in the middle')
        at += 1
        try:
            return kind(lines[at - 1])
        except (IndexError, ValueError):
            raise ValueError(f'line {at}: {lines[at - 1][:40]!r} is not {_EXPECTED[kind]}') from None

    def take_joints() -> np.ndarray:
        nonlocal at
        rows = [line.split() for line in lines[at:at + count_of_joints]]
        try:  # all lines together, in a third of the time
            if len(rows) == count_of_joints and {*map(len, rows)} == {_OF_A_JOINT}:
                values = [float(word) for row in rows for word in row[:3]]
                at += count_of_joints
                return np.array(values).reshape(-1, 3)
        except ValueError:
            pass
        return np.array([take(_position) for _ in range(count_of_joints)])  # finds the damaged line

    count = take()
    if count < 1:
        raise ValueError(f'line {at}: {count} frames')
    frames = []
    for _ in range(count):
        bodies = []
        for _ in range(take(_size)):
            body = take(_body_id)
            joints = take()
            if joints != count_of_joints:
                raise ValueError(f'line {at}: {joints} joints, expected {count_of_joints}')
            bodies.append((body, take_joints()))
        frames.append(bodies)
    stray = next((number for number, line in enumerate(lines[at:], at + 1) if line.strip()), None)
    if stray:
        raise ValueError(f'line {stray}: more lines than the {count} frames stated in the first line')
    return frames


def _size(line: str) -> int:
    size = int(line)
    if size < 0:
        raise ValueError
    return size


def _body_id(line: str) -> str:
    values = line.split()
    if len(values) != 10:
        raise ValueError
    return values[0]  # kept as text: the ids are too long for a float


def _position(line: str) -> tuple[float, float, float]:
    words = line.split()
    if len(words) != _OF_A_JOINT:
        raise ValueError
    return float(words[0]), float(words[1]), float(words[2])


_EXPECTED = {int: 'a count', _size: 'a number of bodies', _body_id: 'a body (10 values)',
             _position: 'a joint (12 values)'}


def in_file_order(frames: list) -> np.ndarray:
    """Return (M, T, V, 3): the first two bodies of each frame; M = 1 if no frame has two (docs/methods.md 0.1)."""
    most = min(2, max(map(len, frames)))
    if not most:
        raise ValueError('no frame has a body')
    joints = len(next(bodies for bodies in frames if bodies)[0][1])
    keypoints = np.zeros((most, len(frames), joints, 3), np.float32)
    for t, bodies in enumerate(frames):
        for m, (_, joints) in enumerate(bodies[:2]):
            keypoints[m, t] = joints
    return keypoints


def by_energy(frames: list) -> np.ndarray:
    """Return (M, T, 25, 3): the one or two bodies that move most, tracked by their ids, without spurious bodies.

    Bodies are dropped if they appear in fewer than 12 frames, or if their skeleton is wider than 0.8 of its height in
    more than 70 % of their frames. They are kept if nothing else is left. Energy is the variance over time, summed over
    joints and axes. Frames without either body are dropped. Of bodies with the same id in a frame the first is used.
    """
    tracks: dict[str, dict[int, np.ndarray]] = {}
    for t, bodies in enumerate(frames):
        for body, joints in bodies:
            tracks.setdefault(body, {}).setdefault(t, joints)
    if not tracks:
        raise ValueError('no frame has a body')
    for keep in (lambda clip: len(clip) >= SHORT, lambda clip: _is_upright(clip)):
        tracks = {body: track for body, track in tracks.items() if keep(np.stack(list(track.values())))} or tracks

    def energy(body):
        track = np.stack(list(tracks[body].values()))
        return np.ma.masked_invalid(track).var(0).filled(0).sum()

    chosen = [tracks[body] for body in sorted(tracks, key=energy, reverse=True)[:2]]
    keypoints = np.zeros((len(chosen), len(frames), JOINTS, 3), np.float32)
    for m, track in enumerate(chosen):
        keypoints[m, list(track)] = list(track.values())
    return keypoints[:, sorted(set().union(*chosen))]


def _is_upright(clip: np.ndarray) -> bool:
    width, height = np.ptp(clip[..., 0], 1), np.ptp(clip[..., 1], 1)
    return bool((width > WIDE * height).mean() <= MOSTLY)
