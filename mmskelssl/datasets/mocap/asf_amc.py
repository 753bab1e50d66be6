"""Acclaim's skeleton (.asf) and motion (.amc) files, as used by the motion capture data of CMU and HDM05.

A bone has a rest direction in world coordinates, a length, and axes C in which its degrees of freedom rotate it. If M
is the rotation in a frame, the bone is rotated by ``parent C M C^-1``. A joint is the far end of its bone.
"""
import re
from dataclasses import dataclass, field

import numpy as np

from mmskelssl.datasets.mocap.motion import Motion, check_rate, check_size, euler, forward_kinematics, numbers

INCH = 0.0254
_FRAME = re.compile(r'^[ \t]*\d+[ \t\r]*$', re.MULTILINE)


@dataclass
class Acclaim:
    """The content of an .asf file: V bones, the root first and parents before children."""
    names: list[str] = field(default_factory=lambda: ['root'])
    parents: list[int] = field(default_factory=lambda: [0])
    offsets: dict[str, np.ndarray] = field(default_factory=dict)  # (3,), in the file's unit
    axes: dict[str, np.ndarray] = field(default_factory=dict)  # C, (3,3)
    dofs: dict[str, str] = field(default_factory=dict)  # such as 'xyz', in order of application
    order: list[str] = field(default_factory=lambda: 'tx ty tz rx ry rz'.split())  # of the root's six numbers
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))  # of the root, added in every frame
    length: float = 1.
    degrees: bool = True

    @property
    def metres(self) -> float:
        """Metres per unit of the file, whose lengths are inches times ``length``."""
        return INCH / self.length


def read_asf(text: str) -> Acclaim:
    """Parse an .asf file.

    Raises:
        ValueError: The file is damaged; the message names the fault.
    """
    sections = _sections(text)
    missing = {'root', 'bonedata', 'hierarchy'} - set(sections)
    if missing:
        raise ValueError(f'not an asf file: section :{min(missing)} is missing')
    skeleton = Acclaim()
    for words in sections.get('units', []):
        if words[0] == 'length':
            skeleton.length = float(numbers(words[1:], 'length unit', 1)[0])
        elif words[0] == 'angle':
            skeleton.degrees = _degrees(words[-1])
    if not 1e-3 <= skeleton.length <= 1e3:
        raise ValueError(f'length unit {skeleton.length:g} is implausible')
    _root(sections['root'], skeleton)
    _bones(sections['bonedata'], skeleton)
    check_size(len(skeleton.dofs))
    _hierarchy(sections['hierarchy'], skeleton)
    return skeleton


def _sections(text: str) -> dict[str, list[list[str]]]:
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in text.splitlines():
        words = line.partition('#')[0].split()
        if words and words[0][0] == ':':
            lines = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            lines.append(words)
    return sections


def _degrees(word: str) -> bool:
    if word.lower() not in ('deg', 'rad'):
        raise ValueError(f'angle unit {word!r} is neither deg nor rad')
    return word.lower() == 'deg'


def _axes(angles: list[str], order: str, what: str, degrees: bool) -> np.ndarray:
    if sorted(order.lower()) != ['x', 'y', 'z']:
        raise ValueError(f'{what}: axis order {order[:80]!r}')
    return euler(order.lower(), numbers(angles, what, 3)[None], degrees)[0]


def _root(lines: list[list[str]], skeleton: Acclaim) -> None:
    values = {words[0].lower(): words[1:] for words in lines}
    skeleton.order = [word.lower() for word in values.get('order', skeleton.order)]
    if sorted(skeleton.order) != ['rx', 'ry', 'rz', 'tx', 'ty', 'tz']:
        raise ValueError(f'root: order {" ".join(skeleton.order)[:80]} is not TX TY TZ RX RY RZ in some order')
    skeleton.position = numbers(values.get('position', list('000')), 'root position', 3)
    skeleton.axes['root'] = _axes(values.get('orientation', list('000')), ''.join(values.get('axis', ['XYZ'])),
                                  'root orientation', skeleton.degrees)
    skeleton.dofs['root'] = ''.join(word[1] for word in skeleton.order if word[0] == 'r')


def _bones(lines: list[list[str]], skeleton: Acclaim) -> None:
    bone: dict[str, list[str]] = {}
    for words in lines:
        if words[0] == 'begin':
            bone = {}
        elif words[0] != 'end':
            bone.setdefault(words[0].lower(), words[1:])  # lines after `limits` are ignored
        else:
            absent = [key for key in ('name', 'direction', 'length', 'axis') if not bone.get(key)]
            if absent:
                raise ValueError(f'bone {"".join(bone.get("name", []))!r}: {absent[0]} is missing')
            name, axis = bone['name'][0], bone['axis']
            if name in skeleton.dofs:
                raise ValueError(f'bone {name!r} appears twice')
            dofs = [word.lower() for word in bone.get('dof', [])]
            if len(set(dofs)) < len(dofs) or not set(dofs) <= {'rx', 'ry', 'rz'}:
                raise ValueError(f'bone {name!r}: dof {" ".join(dofs)[:80]}; only rx, ry and rz are supported')
            skeleton.dofs[name] = ''.join(word[1] for word in dofs)
            length = numbers(bone['length'], f'length of {name!r}', 1)
            skeleton.offsets[name] = numbers(bone['direction'], f'direction of {name!r}', 3) * length
            skeleton.axes[name] = _axes(axis[:3], ''.join(axis[3:]), f'axis of {name!r}', skeleton.degrees)


def _hierarchy(lines: list[list[str]], skeleton: Acclaim) -> None:
    children: dict[str, list[str]] = {}
    for parent, *names in lines:
        if parent not in ('begin', 'end'):
            children.setdefault(parent, []).extend(names)
    for parent in skeleton.names:  # the loop extends the list
        for name in children.get(parent, []):
            if name not in skeleton.offsets or name in skeleton.names:
                raise ValueError(f'hierarchy: {name!r} is not a bone, or appears twice')
            skeleton.parents.append(skeleton.names.index(parent))
            skeleton.names.append(name)
    if len(skeleton.names) <= len(skeleton.offsets):
        lost = next(name for name in skeleton.offsets if name not in skeleton.names)
        raise ValueError(f'hierarchy: bone {lost!r} has no parent')


def read_amc(text: str, skeleton: Acclaim) -> Motion:
    """Read the joint positions of an .amc file in metres.

    The rate is that of ``:SAMPLES-PER-SECOND`` (HDM05). Without it the rate is None: CMU states its rate of 120 in its
    documentation only.

    Raises:
        ValueError: The file is damaged; the message names the fault.
    """
    start = _FRAME.search(text)
    if start is None:
        raise ValueError('not an amc file: it has no frames')
    header = text[:start.start()].lower()
    degrees = ':degrees' in header or (skeleton.degrees and ':radians' not in header)
    stated = re.search(r':samples-per-second\s+(\S+)', header)
    rate = check_rate(float(numbers([stated[1]], 'samples per second')[0])) if stated else None
    values = _frames(text[start.start():], skeleton)
    rotations = []
    for name in skeleton.names:
        dofs, axes = skeleton.dofs[name], skeleton.axes[name]
        angles = values[name]
        if name == 'root':
            root = np.stack([angles[:, skeleton.order.index(key)] for key in ('tx', 'ty', 'tz')], 1)
            angles = angles[:, [skeleton.order.index(f'r{axis}') for axis in dofs]]
        rotations.append(axes @ euler(dofs, angles, degrees) @ axes.T)
    offsets = [skeleton.offsets.get(name, np.zeros(3)) for name in skeleton.names]
    positions = forward_kinematics(skeleton.parents, rotations, offsets, root + skeleton.position, own=True)
    return Motion(skeleton.names, skeleton.parents, positions * skeleton.metres, rate)


def _frames(body: str, skeleton: Acclaim) -> dict[str, np.ndarray]:
    """Read (T,dofs) of each bone. All frames repeat the lines of the first, so columns are slices of one token list."""
    if '#' in body:
        body = '\n'.join(line.partition('#')[0] for line in body.splitlines())
    tokens = body.split()
    widths = {name: 6 if name == 'root' else len(dofs) for name, dofs in skeleton.dofs.items()}
    columns, position = {}, 1
    while position < len(tokens) and tokens[position] in widths and tokens[position] not in columns:
        columns[tokens[position]] = position
        position += 1 + widths[tokens[position]]
    if position < len(tokens) and not tokens[position].isdecimal():
        raise ValueError(f'frame {tokens[0]}: {tokens[position][:40]!r} is not a bone of the asf file, or the bone '
                         'before it has a wrong number of values')
    absent = [name for name, width in widths.items() if width and name not in columns]
    if absent:
        raise ValueError(f'frame {tokens[0]}: the line of {absent[0]!r} is missing')
    if len(tokens) % position:
        raise ValueError(f'{len(tokens)} words are not whole frames of {position}: truncated or damaged')
    check_size(len(widths), len(tokens) // position)
    if [int(n) if n.isdecimal() and len(n) < 10 else n for n in tokens[::position]] != list(
            range(int(tokens[0][:10]), int(tokens[0][:10]) + len(tokens) // position)):
        raise ValueError('the frames are not numbered consecutively: damaged')
    values = {name: np.zeros((1, 0)) for name in widths}
    for name, column in columns.items():
        if any(token != name for token in tokens[column::position]):
            raise ValueError(f'a frame lacks {name!r} where the first frame has it: damaged')
        values[name] = np.stack(
            [numbers(tokens[column + 1 + i::position], name, finite=False) for i in range(widths[name])], 1) \
            if widths[name] else values[name]
    return values
