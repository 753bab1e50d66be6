"""Biovision's motion files (.bvh): a joint hierarchy with offsets and channels, and a table of channel values."""
import numpy as np

from mmskelssl.datasets.mocap.motion import Motion, check_size, euler, forward_kinematics, numbers

_CHANNELS = [f'{axis}{kind}' for axis in 'xyz' for kind in ('position', 'rotation')]


def read_bvh(text: str) -> Motion:
    """Read the joint positions of a .bvh file, in the unit of the file.

    A joint is the near end of its bone. End sites are joints too, named after their parent with the suffix ``_end``.
    Position channels replace the offset, as in files that have them for every joint.

    Raises:
        ValueError: The file is damaged; the message names the fault.
    """
    tokens = text.replace('{', ' { ').replace('}', ' } ').split()
    if not tokens or tokens[0].upper() != 'HIERARCHY' or 'MOTION' not in tokens:
        raise ValueError('not a bvh file: it needs HIERARCHY and MOTION')
    cut = tokens.index('MOTION')
    names, parents, offsets, channels = _hierarchy(tokens[1:cut])
    head, values = tokens[cut + 1:cut + 6], tokens[cut + 6:]
    if len(head) < 5 or [word.lower() for word in (head[0], *head[2:4])] != ['frames:', 'frame', 'time:']:
        raise ValueError('MOTION must begin with "Frames: N" and "Frame Time: SECONDS"')
    seconds = float(numbers(head[4:], 'frame time')[0])
    if not 1e-4 <= seconds <= 1:
        raise ValueError(f'a frame time of {seconds:g} seconds is implausible')
    width = sum(map(len, channels))
    if not head[1].isdecimal() or not width or len(values) != int(head[1][:12]) * width or not values:
        raise ValueError(f'{len(values)} values in MOTION do not match {head[1][:12]} frames of {width}: truncated or '
                         'damaged')
    check_size(len(names), len(values) // width)
    table = numbers(values, 'MOTION', finite=False).reshape(-1, width)
    rotations, places, column = [], [], 0
    for offset, own in zip(offsets, channels, strict=True):
        block = {name: table[:, column + i] for i, name in enumerate(own)}
        column += len(own)
        turns = [name for name in own if name.endswith('rotation')]
        angles = np.stack([block[name] for name in turns], 1) if turns else np.zeros((1, 0))
        rotations.append(euler(''.join(name[0] for name in turns).upper(), angles, degrees=True))
        place = np.tile(offset, (len(table), 1))
        for i, axis in enumerate('xyz'):
            place[:, i] = block.get(f'{axis}position', place[:, i])
        places.append(place)
    return Motion(names, parents, forward_kinematics(parents, rotations, places, places[0], own=False), 1 / seconds)


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
