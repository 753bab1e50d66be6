"""Motion capture files: comparison with loops over 4x4 matrices, hand-computed cases, and random damage."""
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmskelssl.datasets.mocap import read_amc, read_asf, read_bvh, resample
from mmskelssl.datasets.mocap.layout import layout_of_motion
from mmskelssl.datasets.mocap.motion import MAX_FRAMES, MAX_JOINTS, euler
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def turn(axis, degrees):
    """An elementary rotation as a 4x4 matrix."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(dict(x=[[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]],
                         y=[[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]],
                         z=[[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])[axis])


def shift(offset):
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def fixed_axes(order, angles):
    """Rotate about the first world axis, then the second, then the third."""
    matrix = np.eye(4)
    for axis, angle in zip(order, angles, strict=True):
        matrix = turn(axis, angle) @ matrix
    return matrix


@pytest.mark.parametrize('axes', ['', 'z', 'xy', 'zyx', 'yxz', 'Y', 'ZX', 'XYZ', 'ZXY'])
def test_angles_become_matrices(axes):
    angles = np.random.default_rng(0).uniform(-400, 400, (3, len(axes)))
    for matrix, row in zip(euler(axes, angles, True), angles, strict=True):  # moving axes are fixed ones in reverse
        order, row = (axes, row) if axes.islower() else (axes.lower()[::-1], row[::-1])
        np.testing.assert_allclose(matrix, fixed_axes(order, row)[:3, :3], atol=1e-14)
    np.testing.assert_allclose(euler(axes, np.radians(angles), False), euler(axes, angles, True), atol=1e-14)


def test_an_infinite_angle_is_a_gap():
    assert np.isnan(euler('X', np.array([[np.inf], [0.]]), True)).any((1, 2)).tolist() == [True, False]


class RandomAcclaim:
    """A random skeleton and motion, as text and as reference positions."""

    def __init__(self, seed, bones=12, frames=5, length=.45):
        rng = self.rng = np.random.default_rng(seed)
        self.frames, self.length = frames, length
        self.names = ['root'] + [f'bone{i}' for i in range(bones)]
        self.parent = {name: self.names[rng.integers(i)] for i, name in enumerate(self.names) if i}
        self.direction = {name: (v := rng.normal(size=3)) / np.linalg.norm(v) for name in self.names}
        self.size = {name: rng.uniform(.5, 8) for name in self.names}
        self.tilt = {name: rng.uniform(-180, 180, 3) for name in self.names}
        self.order = {name: ''.join(rng.permutation(list('xyz'))) for name in self.names}
        self.dof = {name: ''.join(rng.permutation(list('xyz'))[:rng.integers(0, 4)]) for name in self.names}
        self.dof['root'] = ''.join(rng.permutation(list('xyz')))
        self.channels = list(rng.permutation(['TX', 'TY', 'TZ'] + [f'R{a.upper()}' for a in self.dof['root']]))
        self.dof['root'] = ''.join(c[1].lower() for c in self.channels if c[0] == 'R')
        self.position = rng.normal(size=3)
        self.angles = {name: rng.uniform(-180, 180, (frames, len(self.dof[name]))) for name in self.names}
        self.path = rng.normal(size=(frames, 3)) * 10

    def asf(self, extra=''):
        lines = ['# a comment', ':version 1.10', ':name VICON', ':units', '  mass 1.0', f'  length {self.length}',
                 '  angle deg', ':documentation', '   free text: begin end root', ':root',
                 f'   order {" ".join(self.channels)}', f'   axis {self.order["root"].upper()}',
                 '   position ' + ' '.join(map(repr, self.position.tolist())),
                 '   orientation ' + ' '.join(map(repr, self.tilt['root'].tolist())), ':bonedata']
        for i, name in enumerate(self.names[1:]):
            lines += ['  begin', f'     id {i + 1}', f'     name {name}',
                      '     direction ' + ' '.join(map(repr, self.direction[name].tolist())),
                      f'     length {self.size[name]!r}',
                      '     axis ' + ' '.join(map(repr, self.tilt[name].tolist())) + f'   {self.order[name].upper()}']
            if self.dof[name]:
                lines += ['    dof ' + ' '.join(f'r{axis}' for axis in self.dof[name]), '    limits (-160.0 20.0)',
                          '           (-70.0 70.0)']
            lines += ['  end']
        lines += [':hierarchy', '  begin']
        for parent in self.names:
            own = [name for name in self.names[1:] if self.parent[name] == parent]
            lines += [f'    {parent} {" ".join(own)}'] if own else []
        return '\n'.join([*lines, '  end', extra, ''])

    def amc(self, first=1, header='#!OML:ASF F:\\VICON\n:FULLY-SPECIFIED\n:DEGREES'):
        lines = [header]
        for frame in range(self.frames):
            lines.append(str(frame + first))
            for name in self.names:
                values = list(self.angles[name][frame])
                if name == 'root':
                    values = dict(zip([f'R{axis.upper()}' for axis in self.dof['root']], values, strict=True))
                    values |= dict(zip(('TX', 'TY', 'TZ'), self.path[frame], strict=True))
                    values = [values[channel] for channel in self.channels]
                if values:
                    lines.append(f'{name} ' + ' '.join(repr(float(value)) for value in values))
        return '\n'.join([*lines, ''])

    def oracle(self):
        """{name: (T,3)} in metres, frame by frame and bone by bone."""
        ends = {name: np.zeros((self.frames, 3)) for name in self.names}
        for frame in range(self.frames):
            world = {}
            for name in self.names:
                tilt = fixed_axes(self.order[name], self.tilt[name])
                own = tilt @ fixed_axes(self.dof[name], self.angles[name][frame]) @ np.linalg.inv(tilt)
                if name == 'root':
                    world[name] = shift(self.path[frame] + self.position) @ own
                else:
                    world[name] = world[self.parent[name]] @ own @ shift(self.direction[name] * self.size[name])
                ends[name][frame] = world[name][:3, 3] / self.length * .0254
        return ends


@pytest.mark.parametrize('seed', range(8))
def test_acclaim_against_matrices(seed):
    skeleton = RandomAcclaim(seed)
    motion = read_amc(skeleton.amc(first=1 + 7 * seed), read_asf(skeleton.asf()))
    assert sorted(motion.names) == sorted(skeleton.names) and motion.rate is None
    for name, ends in skeleton.oracle().items():
        np.testing.assert_allclose(motion.positions[:, motion.names.index(name)], ends, atol=1e-9)
    for name, parent in zip(motion.names[1:], motion.parents[1:], strict=True):
        assert motion.names[parent] == skeleton.parent[name]


def test_acclaim_by_hand():
    """Upper arm along x, forearm along x: the elbow bends by 90 degrees about z; one unit is one inch here."""
    asf = """:units
      length 1.0
      angle deg
    :root
      order TX TY TZ RX RY RZ
      axis XYZ
      position 0 0 0
      orientation 0 0 0
    :bonedata
      begin
        id 1\n name upper\n direction 1 0 0\n length 10\n axis 0 0 0 XYZ\n dof rx ry rz
      end
      begin
        id 2\n name fore\n direction 1 0 0\n length 5\n axis 0 0 90 XYZ\n dof rz
      end
    :hierarchy
      begin
        root upper\n upper fore
      end"""
    motion = read_amc(':DEGREES\n1\nroot 1 2 3 0 0 0\nupper 0 0 0\nfore 90\n'
                      '2\nroot 1 2 3 0 0 90\nupper 0 0 90\nfore 0\n'
                      '3\nroot 0 0 0 90 0 90\nupper 0 0 0\nfore 0', read_asf(asf))
    inches = motion.positions / .0254
    np.testing.assert_allclose(inches[0], [[1, 2, 3], [11, 2, 3], [11, 7, 3]], atol=1e-9)
    np.testing.assert_allclose(inches[1], [[1, 2, 3], [-9, 2, 3], [-14, 2, 3]], atol=1e-9)
    np.testing.assert_allclose(inches[2], [[0, 0, 0], [0, 10, 0], [0, 15, 0]], atol=1e-9)
    # The bone's axes are turned by 90 degrees about z, so its rx bends about the world's y.
    turned = read_asf(asf.replace('dof rz\n', 'dof rx\n').replace('axis 0 0 90', 'axis 0 0 90.0'))
    turned = read_amc('1\nroot 0 0 0 0 0 0\nupper 0 0 0\nfore 90', turned)
    np.testing.assert_allclose(turned.positions[0, 2] / .0254, [10, 0, -5], atol=1e-9)


def test_acclaim_units_rates_and_line_ends():
    skeleton = RandomAcclaim(3)
    asf, amc = skeleton.asf(), skeleton.amc()
    expected = read_amc(amc, read_asf(asf)).positions
    crlf = read_amc(amc.replace('\n', '\r\n'), read_asf(asf.replace('\n', '\r\n'))).positions
    np.testing.assert_array_equal(crlf, expected)
    doubled = read_amc(amc, read_asf(asf.replace('length 0.45', 'length 0.9'))).positions
    np.testing.assert_allclose(doubled, expected / 2)
    hdm = skeleton.amc(header=':FULLY-SPECIFIED\n:DEGREES\n:SAMPLES-PER-SECOND 60')
    assert read_amc(hdm, read_asf(asf)).rate == 60
    for angles in skeleton.angles.values():
        angles *= np.pi / 180
    radians = read_amc(skeleton.amc(header=':RADIANS'), read_asf(asf)).positions
    np.testing.assert_allclose(radians, expected, atol=1e-9)


@pytest.mark.parametrize('change, reason', [
    (lambda t: '', 'not an asf file'), (lambda t: t.replace(':hierarchy', ':other'), ':hierarchy is missing'),
    (lambda t: t.replace('length 0.45', 'length 0'), 'length unit 0 is implausible'),
    (lambda t: t.replace('length 0.45', 'length nan'), 'NaN'),
    (lambda t: t.replace('angle deg', 'angle grad'), "'grad' is neither deg nor rad"),
    (lambda t: t.replace('name bone3', 'name bone2'), "'bone2' appears twice"),
    (lambda t: t.replace('     length ', '     longth '), 'length is missing'),
    (lambda t: t.replace('direction ', 'direction 1e999 '), '4 numbers instead of 3'),
    (lambda t: t.replace('direction ', 'direction x'), 'could not convert'),
    (lambda t: t.replace('    dof ', '    dof l '), 'only rx, ry and rz'),
    (lambda t: t.replace('XYZ', 'XYY').replace('ZYX', 'XYY').replace('YXZ', 'XYY'), 'axis order'),
    (lambda t: t.replace(' bone11', ''), 'bone .* (name|has no parent)'),
    (lambda t: t.replace('    root ', '    root ghost '), "'ghost' is not a bone"),
    (lambda t: t.replace('order T', 'order R'), 'order .* is not TX TY TZ'),
])
def test_damaged_asf(change, reason):
    with pytest.raises(ValueError, match=reason):
        read_asf(change(RandomAcclaim(0).asf()))


@pytest.mark.parametrize('change, reason', [
    (lambda t: '', 'no frame'), (lambda t: 'no amc\n', 'no frame'), (lambda t: t[:-30], 'truncated|whole frames'),
    (lambda t: t + '6\n', 'not whole frames'), (lambda t: t.replace('\n3\n', '\n4\n'), 'not numbered'),
    (lambda t: t.replace('\nbone', '\nbane'), 'is not a bone'), (lambda t: t.replace('\n2\n', '\n-2\n'), 'not a bone'),
    (lambda t: t.replace('\nroot', '\nroot 1'), 'is not a bone of the asf file, or the bone before'),
    (lambda t: re.sub(r'root \S+', 'root left', t), "root: could not convert .*'left'"),
    (lambda t: ''.join(t.partition('\n2\n')[:2]) + t.partition('\n2\n')[2].replace('bone', 'bine', 1), 'a frame lacks'),
    (lambda t: t.replace('\nroot ', '\nstem ', 1), 'is not a bone|is missing'),
    (lambda t: t.replace(':DEGREES', ':DEGREES\n:SAMPLES-PER-SECOND 0'), 'a frame rate of 0 per second is implausible'),
    (lambda t: t.replace(':DEGREES', ':DEGREES\n:SAMPLES-PER-SECOND x'), 'samples per second: could not convert'),
])
def test_damaged_amc(change, reason):
    skeleton = RandomAcclaim(0)
    assert len(read_amc(skeleton.amc(), read_asf(skeleton.asf())).positions) == 5
    with pytest.raises(ValueError, match=reason) as failure:
        read_amc(change(skeleton.amc()), read_asf(skeleton.asf()))
    assert '\n' not in str(failure.value) and len(str(failure.value)) < 200


# --- bvh -------------------------------------------------------------------------------------------------------------

class RandomBvh:
    """A random hierarchy and its motion, as text and as reference positions."""

    def __init__(self, seed, joints=9, frames=5):
        rng = np.random.default_rng(seed)
        self.names = ['Hips'] + [f'Joint {i}' if i == 2 else f'Joint{i}' for i in range(joints)]
        self.parent = {name: self.names[rng.integers(i)] for i, name in enumerate(self.names) if i}
        self.offset = {name: rng.normal(size=3) for name in self.names}
        self.channels = {name: [f'{axis}rotation' for axis in rng.permutation(list('XYZ'))] for name in self.names}
        self.channels['Hips'] = ['Xposition', 'Yposition', 'Zposition', *self.channels['Hips']]
        self.channels['Joint4'] = list(rng.permutation(['Zposition', 'Xposition', *self.channels['Joint4']]))
        self.channels['Joint5'] = []
        leaves = [name for name in self.names if name not in self.parent.values()]
        self.ends = {f'{name}_end': (name, rng.normal(size=3)) for name in leaves}
        self.values = {name: rng.uniform(-180, 180, (frames, len(own))) for name, own in self.channels.items()}
        self.frames = frames

    def block(self, name, kind):
        own = self.channels[name]
        lines = [f'{kind} {name}', '{', 'OFFSET ' + ' '.join(map(repr, self.offset[name].tolist())),
                 f'CHANNELS {len(own)} {" ".join(own)}']
        for child in self.names[1:]:
            lines += self.block(child, 'JOINT') if self.parent[child] == name else []
        if f'{name}_end' in self.ends:
            lines += ['End Site', '{', 'OFFSET ' + ' '.join(map(repr, self.ends[f'{name}_end'][1].tolist())), '}']
        return [*lines, '}']

    def written(self, name):
        """Return the joints in file order."""
        return [name] + [other for child in self.names[1:] if self.parent[child] == name
                         for other in self.written(child)]

    def text(self):
        table = np.concatenate([self.values[name] for name in self.written('Hips')], 1)
        rows = [' '.join(map(repr, row.tolist())) for row in table]
        return '\n'.join(['HIERARCHY', *self.block('Hips', 'ROOT'), 'MOTION', f'Frames: {self.frames}',
                          'Frame Time: 0.0083333', *rows, ''])

    def oracle(self):
        places = {name: np.zeros((self.frames, 3)) for name in (*self.names, *self.ends)}
        for frame in range(self.frames):
            world = {}
            for name in self.names:
                offset, local = self.offset[name].copy(), np.eye(4)
                for channel, value in zip(self.channels[name], self.values[name][frame], strict=True):
                    if channel.endswith('position'):
                        offset['XYZ'.index(channel[0])] = value
                    else:
                        local = local @ turn(channel[0].lower(), value)
                world[name] = world.get(self.parent.get(name), np.eye(4)) @ shift(offset) @ local
                places[name][frame] = world[name][:3, 3]
            for name, (parent, offset) in self.ends.items():
                places[name][frame] = (world[parent] @ shift(offset))[:3, 3]
        return places


@pytest.mark.parametrize('seed', range(8))
def test_bvh_against_matrices(seed):
    file = RandomBvh(seed)
    motion = read_bvh(file.text())
    expected = file.oracle()
    assert sorted(motion.names) == sorted(expected) and round(motion.rate) == 120
    for name, places in expected.items():
        np.testing.assert_allclose(motion.positions[:, motion.names.index(name)], places, atol=1e-9)
    np.testing.assert_array_equal(read_bvh(file.text().replace('\n', '\r\n')).positions, motion.positions)


def test_bvh_by_hand():
    """Zrotation Xrotation rotates about z, then about the rotated x axis."""
    text = """HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
        JOINT b { OFFSET 1 0 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site { OFFSET 0 1 0 } } }
        MOTION Frames: 2 Frame Time: 0.04   5 0 0  90 0 0  0 0 0   0 0 0  90 90 0  0 0 0"""
    motion = read_bvh(text)
    assert motion.names == ['a', 'b', 'b_end'] and motion.parents == [0, 0, 1] and motion.rate == 25
    np.testing.assert_allclose(motion.positions, [[[5, 0, 0], [5, 1, 0], [4, 1, 0]], [[0, 0, 0], [0, 1, 0], [0, 1, 1]]],
                               atol=1e-9)


@pytest.mark.parametrize('change, reason', [
    (lambda t: '', 'not a bvh file'), (lambda t: '\0' * 99, 'not a bvh file'), (lambda t: t[:-40], 'truncated'),
    (lambda t: t.replace('Frames: 5', 'Frames: 999999999999'), 'do not match 999999999999 frames'),
    (lambda t: t.replace('Frames: 5', 'Frames: -5'), 'do not match -5'),
    (lambda t: t.replace('Frames: 5', 'Frames:'), 'MOTION must begin'),
    (lambda t: t.replace('0.0083333', '0'), 'frame time of 0'), (lambda t: t.replace('0.0083333', 'inf'), 'NaN or Inf'),
    (lambda t: t.replace('CHANNELS 3', 'CHANNELS 99'), "channel count '99'"),
    (lambda t: t.replace('Xrotation', 'Wrotation'), 'channels'), (lambda t: t.replace('}', '', 1), 'not closed|place'),
    (lambda t: t.replace('HIERARCHY', 'HIERARCHY }'), 'outside the root'),
    (lambda t: t.replace('JOINT Joint1', 'JOINT Joint0'), "'Joint0' appears twice"),
    (lambda t: t.replace('JOINT', 'ROOT', 1), 'out of place'),
    (lambda t: t.replace('OFFSET ', 'OFFSET x'), 'could not convert'),
    (lambda t: t.replace('OFFSET', 'UPSET', 1), "'UPSET' in the hierarchy"),
    (lambda t: t.replace('End Site', 'End Site Site Site Site Site Site Site Site Site Site Site {'), 'brace|closed'),
])
def test_damaged_bvh(change, reason):
    with pytest.raises(ValueError, match=reason) as failure:
        read_bvh(change(RandomBvh(1).text()))
    assert '\n' not in str(failure.value) and len(str(failure.value)) < 200


def test_what_would_not_fit_is_refused():
    deep = 'HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Xrotation ' + ''.join(
        f'JOINT j{i} {{ OFFSET 0 0 1 CHANNELS 0 ' for i in range(MAX_JOINTS + 5)) + '}' * (MAX_JOINTS + 6)
    with pytest.raises(ValueError, match=f'at most {MAX_JOINTS}'):
        read_bvh(deep + ' MOTION Frames: 1 Frame Time: .1 0')
    long = 'HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Xrotation } MOTION '
    with pytest.raises(ValueError, match=f'and {MAX_FRAMES} are read'):
        read_bvh(long + f'Frames: {MAX_FRAMES + 1} Frame Time: .1 ' + '0 ' * (MAX_FRAMES + 1))
    with pytest.raises(ValueError, match=f'and {MAX_FRAMES} are read'):
        resample(np.zeros((MAX_FRAMES // 10, 1, 3)), 1, 30)


# --- random damage ---------------------------------------------------------------------------------------------------

def damaged(text):
    """Return the text with spans removed, doubled or overwritten."""
    words = st.sampled_from(['', 'nan', '1e999', '-1', '\0\xff', '{', '}', 'begin', 'end', ':root', 'JOINT', '\r\n',
                             '日本', '9' * 400, '1_0', 'root', 'MOTION', '1 2 3'])
    edit = st.tuples(st.integers(0, len(text)), st.integers(0, 60), words)

    def apply(edits):
        changed = text
        for start, length, word in edits:
            changed = changed[:start] + word + changed[start + length:]
        return changed
    return st.lists(edit, max_size=4).map(apply) | st.text(max_size=200) | st.integers(0, len(text)).map(
        lambda end: text[:end])


def check(read):
    try:
        motion = read()
    except ValueError as error:
        assert str(error) and '\n' not in str(error)
        return
    assert motion.positions.shape[1:] == (len(motion.names), 3) and len(motion.positions)


@QUICK
@given(damaged(RandomAcclaim(1).asf()))
def test_any_asf_is_read_or_refused(text):
    check(lambda: read_amc(RandomAcclaim(1).amc(), read_asf(text)))


@QUICK
@given(damaged(RandomAcclaim(1).amc()))
def test_any_amc_is_read_or_refused(text):
    check(lambda: read_amc(text, read_asf(RandomAcclaim(1).asf())))


@QUICK
@given(damaged(RandomBvh(1).text()))
def test_any_bvh_is_read_or_refused(text):
    check(lambda: read_bvh(text))


# --- frame rates and layouts -----------------------------------------------------------------------------------------

@pytest.mark.parametrize('rate, fps, frames, expected', [
    (120, 30, 9, [0, 4, 8]), (1 / .0083333, 30, 10, [0, 4, 8]), (30, 30, 3, [0, 1, 2]), (1 / .033333, 30, 4, range(4)),
    (25, 50, 3, [0, .5, 1, 1.5, 2]), (120, 50, 7, [0, 2.4, 4.8]), (120, 30, 1, [0]), (60, 25, 6, [0, 2.4, 4.8])])
def test_resample(rate, fps, frames, expected):
    ramp = np.arange(frames)[:, None, None] * np.array([1., -2, 3]) + np.ones((1, 2, 1))
    got = resample(ramp, rate, fps)
    np.testing.assert_allclose(got, np.array(list(expected))[:, None, None] * [1, -2, 3] + np.ones((1, 2, 1)))


LIMBS = ['{}Shoulder', '{}Arm', '{}ForeArm', '{}Hand'], ['{}UpLeg', '{}Leg', '{}Foot']


def named(left, right, form='{side}{joint}', limbs=LIMBS):
    """A small body with joint names in one of the common styles."""
    lines = ['HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 1 Xrotation JOINT Spine { OFFSET 0 1 0 CHANNELS 0']
    for sign, side in ((1, left), (-1, right)):
        for joints in limbs:
            for joint in joints:
                name = form.format(side=side, joint=joint.format(''))
                lines.append(f'JOINT {name} {{ OFFSET {sign} 0 0 CHANNELS 0')
            lines.append('End Site { OFFSET 0 0 1 }' + '}' * len(joints))
    return read_bvh(' '.join([*lines, '} } MOTION Frames: 1 Frame Time: 0.1 0']))


@pytest.mark.parametrize('left, right, form', [
    ('Left', 'Right', '{side}{joint}'), ('Left', 'Right', 'mixamorig:{side}{joint}'), ('l', 'r', '{side}{joint}'),
    ('L', 'R', '{side}_{joint}'), ('L', 'R', '{joint}.{side}'), ('l', 'r', '{joint}_{side}'),
    ('left', 'right', '{side} {joint}'), ('L', 'R', '{joint}{side}')])
def test_a_layout_from_names(left, right, form):
    layout = get_layout(layout_of_motion(named(left, right, form), 'x.bvh'))
    assert layout.joints[layout.hip] == 'Hips' and layout.centre == 0 and len(layout.pairs) == 9
    arms = [form.format(side=side, joint='Arm') for side in (left, right)]
    assert [layout.joints[i] for i in layout.shoulders] == arms
    assert {name: len(part) for name, part in layout.parts.items()} == dict(
        trunk=2, left_arm=5, left_leg=4, right_arm=5, right_leg=4)
    for a, b in layout.pairs:
        assert layout.mirror[a] == b and layout.joints[a] != layout.joints[b]


def test_names_without_sides_need_a_layout_file():
    with pytest.raises(UserError, match='x.bvh: .*give --layout FILE.json'):
        layout_of_motion(read_bvh(RandomBvh(0).text()), 'x.bvh')


@pytest.mark.parametrize('fps', [15., 30., 25., 60.])
@pytest.mark.parametrize('frames', [1, 2, 5, 6])
def test_bvh_at_a_lower_rate_is_the_resampled_motion(fps, frames):
    """A file of 30 frames per second: every second frame, all of them, and rates that are no whole share."""
    rows = '\n'.join(' '.join(f'{value:.4f}' for value in row)
                     for row in np.random.default_rng(frames).normal(0, 90, (frames, 9)))
    text = ('HIERARCHY ROOT a { OFFSET 1 2 3 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation '
            'JOINT b { OFFSET 0 1 0 CHANNELS 3 Yrotation Xrotation Zrotation End Site { OFFSET 1 1 0 } } } '
            f'MOTION Frames: {frames} Frame Time: 0.0333333 {rows}')
    whole, part = read_bvh(text), read_bvh(text, fps)
    np.testing.assert_array_equal(resample(part.positions, part.rate, fps), resample(whole.positions, whole.rate, fps))
    with pytest.raises(ValueError, match="MOTION: could not convert string to float: '1x'"):
        read_bvh(text.rsplit(None, 1)[0] + ' 1x', fps)  # also in frames that are not kept
