"""Biovision's motion files (.bvh): a joint hierarchy with offsets and channels, and a table of channel values."""
import re

import numpy as np

from mmskelssl.datasets.mocap.decimals import floats, words_of
from mmskelssl.datasets.mocap.motion import Motion, check_size, euler, forward_kinematics, numbers, ratio

_CHANNELS = [f'{axis}{kind}' for axis in 'xyz' for kind in ('position', 'rotation')]
_BLOCK = 4096  # frames whose rotations are in memory at once
_MOTION = re.compile(r'(?<![^\s{}])MOTION(?![^\s{}])')


def read_bvh(text: str, fps: float | None = None) -> Motion:
    """Read the joint positions of a .bvh file, in the unit of the file.

    A joint is the near end of its bone. End sites are joints too, named after their parent with the suffix ``_end``.
    Position channels replace the offset, as in files that have them for every joint.

    Args:
        text: Content of the file.
        fps: Frames per second that the caller will resample to. If the rate of the file is k times this rate, only
            every k-th frame is computed, those that :func:`~mmskelssl.datasets.mocap.motion.resample` would keep, and
            the result has this rate. All numbers of the file are read and checked nevertheless.

    Raises:
        ValueError: The file is damaged; the message names the fault.
    """
    start = _MOTION.search(text)
    tokens = _words(text[:start.start()]) if start else []
    if start is None or not tokens or tokens[0].upper() != 'HIERARCHY':
        raise ValueError('not a bvh file: it needs HIERARCHY and MOTION')
    names, parents, offsets, channels = _hierarchy(tokens[1:])
    body = _spaced(text[start.end():])
    *head, values = (body.split(None, 5) + [''] * 6)[:6]
    if not head[4] or [word.lower() for word in (head[0], *head[2:4])] != ['frames:', 'frame', 'time:']:
        raise ValueError('MOTION must begin with "Frames: N" and "Frame Time: SECONDS"')
    seconds = float(numbers(head[4:], 'frame time')[0])
    if not 1e-4 <= seconds <= 1:
        raise ValueError(f'a frame time of {seconds:g} seconds is implausible')
    width = sum(map(len, channels))
    table = _table(head[1], values, width, len(names))
    rate = 1 / seconds
    step = ratio(rate, fps) if fps else 1
    if isinstance(step, int) and step > 1:
        table, rate = table[::step], rate / step
    positions = [_positions(parents, offsets, channels, table[i:i + _BLOCK]) for i in range(0, len(table), _BLOCK)]
    return Motion(names, parents, np.concatenate(positions), rate)


def _spaced(text: str) -> str:
    """Put spaces around braces, which may touch other words."""
    return text.replace('{', ' { ').replace('}', ' } ') if '{' in text or '}' in text else text


def _words(text: str) -> list[str]:
    return _spaced(text).split()


def _table(frames: str, values: str, width: int, joints: int) -> np.ndarray:
    """Read the channels (T, ``width``) of all frames."""
    count = int(frames[:12]) * width if frames.isdecimal() else 0
    words = words_of(values)
    if not count or len(words) != count:
        raise ValueError(f'{len(words)} values in MOTION do not match {frames[:12]} frames of {width}: truncated or '
                         'damaged')
    check_size(joints, count // width)
    try:
        return floats(words).reshape(-1, width)
    except ValueError as error:
        raise ValueError(f'MOTION: {str(error)[:80]}') from None


def _positions(parents: list[int], offsets: list[np.ndarray], channels: list[list[str]],
               table: np.ndarray) -> np.ndarray:
    """Compute the positions (T, V, 3) of the joints from their channels (T, all channels)."""
    starts = np.cumsum([0, *map(len, channels)])
    places = np.tile(np.stack(offsets), (len(table), 1, 1))
    alike: dict[str, list[tuple[int, list[int]]]] = {}  # order of the axes -> joints and their columns
    for joint, own in enumerate(channels):
        columns = {name: int(starts[joint]) + i for i, name in enumerate(own)}
        turns = [name for name in own if name.endswith('rotation')]
        alike.setdefault(''.join(name[0] for name in turns).upper(), []).append((joint, [columns[t] for t in turns]))
        for i, axis in enumerate('xyz'):
            if f'{axis}position' in columns:
                places[:, joint, i] = table[:, columns[f'{axis}position']]
    rotations = [np.eye(3)[None]] * len(parents)
    for axes, joints in alike.items():
        if axes:
            angles = table[:, [columns for _, columns in joints]]  # (T, joints, axes)
            made = euler(axes, angles.reshape(-1, len(axes)), degrees=True).reshape(len(table), -1, 3, 3)
            for i, (joint, _) in enumerate(joints):
                rotations[joint] = made[:, i]
    return forward_kinematics(parents, rotations, [places[:, joint] for joint in range(len(parents))], places[:, 0],
                              own=False)


def _hierarchy(tokens: list[str]) -> tuple[list[str], list[int], list[np.ndarray], list[list[str]]]:
    names: list[str] = []
    channels: list[list[str]] = []
    open_joints: list[int] = []
    parents, offsets, position = [], [], 0
    while position < len(tokens):
        word = tokens[position].upper()
        if word in ('ROOT', 'JOINT', 'END'):
            if '{' not in tokens[position:position + 12]:
                raise ValueError(f'{word} without a brace after its name')
            brace = tokens.index('{', position)
            if (word == 'ROOT') != (not names) or (word != 'ROOT' and not open_joints):
                raise ValueError(f'{word} {" ".join(tokens[position + 1:brace])[:80]} is out of place; there must be '
                                 'one ROOT with all joints inside it')
            name = f'{names[open_joints[-1]]}_end' if word == 'END' else ' '.join(tokens[position + 1:brace])[:200]
            check_size(len(names))
            if name in names:
                raise ValueError(f'joint {name!r} appears twice')
            parents.append(open_joints[-1] if open_joints else 0)
            open_joints.append(len(names))
            names.append(name)
            offsets.append(np.zeros(3))
            channels.append([])
            position = brace + 1
        elif not open_joints:
            raise ValueError(f'{tokens[position][:40]!r} is outside the root')
        elif word == '}':
            open_joints.pop()
            position += 1
        elif word == 'OFFSET':
            offsets[open_joints[-1]] = numbers(tokens[position + 1:position + 4], f'offset of {names[-1]!r}', 3)
            position += 4
        elif word == 'CHANNELS':
            count = ''.join(tokens[position + 1:position + 2])
            if count not in ('0', '1', '2', '3', '4', '5', '6'):
                raise ValueError(f'joint {names[-1]!r}: invalid channel count {count[:20]!r}')
            own = [name.lower() for name in tokens[position + 2:position + 2 + int(count)]]
            if len(own) != int(count) or len(set(own)) < len(own) or not set(own) <= set(_CHANNELS):
                raise ValueError(f'joint {names[-1]!r}: invalid channels {" ".join(own)[:80]}')
            channels[open_joints[-1]] = own
            position += 2 + int(count)
        else:
            raise ValueError(f'unexpected {tokens[position][:40]!r} in the hierarchy')
    if open_joints or not names:
        raise ValueError('the hierarchy is not closed')
    return names, parents, offsets, channels
