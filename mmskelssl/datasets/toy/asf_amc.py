"""Writes motions as CMU's .asf and .amc files: one skeleton per subject, one recording per motion, 120 fps."""
import csv
import os
import os.path as osp
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from mmskelssl.datasets.importers.cmu import ASF_BONES, RATE
from mmskelssl.datasets.mocap.asf_amc import INCH
from mmskelssl.datasets.toy.actions import SOLO
from mmskelssl.datasets.toy.actor import FPS
from mmskelssl.datasets.toy.store import ACTIONS, make_sample
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

LENGTH = 0.45
_CMU, _NTU = get_layout('cmu31'), get_layout('ntu25')
_J = {name: i for i, name in enumerate(_CMU.joints)}


def write_toy_cmu(folder: str, num_samples: int = 40, seed: int = 0, subjects: int = 4) -> str:
    """Write one-person toy clips without sensor errors as ``folder/SS/SS.asf`` and ``SS_TT.amc``.

    ``folder/labels.csv`` has rows ``name,label`` with class names as labels. Clip ``i`` depends only on ``(seed, i)``.

    Returns:
        The path of ``labels.csv``.
    """
    motions: dict[int, list] = {}
    for index in range(num_samples):
        action, subject = index % len(SOLO), (index // len(SOLO) + index) % subjects + 1
        rng = np.random.default_rng([seed, index])
        clip = make_sample(rng, action, subject, camera=2, noise=0)[0]
        motions.setdefault(subject, []).append((ACTIONS[action], to_cmu31(clip)))
    os.makedirs(folder, exist_ok=True)
    table = osp.join(folder, 'labels.csv')
    with open(table, 'w', newline='', encoding='utf-8') as file:
        rows = csv.writer(file)
        rows.writerow(['name', 'label'])
        for subject, clips in sorted(motions.items()):
            names = write_asf_amc(osp.join(folder, f'{subject:02d}'), subject, [clip for _, clip in clips])
            rows.writerows(zip(names, [action for action, _ in clips], strict=True))
    return table


def to_cmu31(clip: np.ndarray) -> np.ndarray:
    """Convert toy joints (T,25,3) to cmu31 (T,31,3). Joints that the toy body lacks lie on its bones or extend them."""
    def at(name: str) -> np.ndarray:
        return clip[:, _NTU.joints.index(name)].astype(np.float64)

    joints = dict(root=at('hip_centre'), lower_back=(at('hip_centre') + at('spine')) / 2, upper_back=at('spine'),
                  thorax=at('shoulder_centre'), lower_neck=at('neck'), upper_neck=(at('neck') + at('head')) / 2,
                  head=at('head'))
    for side in ('left', 'right'):
        own = {name: at(f'{side}_{name}') for name in ('hip', 'knee', 'ankle', 'foot', 'shoulder', 'elbow', 'wrist',
                                                       'hand', 'thumb')}
        own |= dict(toes=own['foot'] + .3 * (own['foot'] - own['ankle']), palm=(own['wrist'] + own['hand']) / 2,
                    fingers=at(f'{side}_hand_tip'))
        joints |= {f'{side}_{name}': place for name, place in own.items()}
    return np.stack([joints[name] for name in _CMU.joints], 1)


def write_asf_amc(folder: str, subject: int, motions: Sequence[np.ndarray], fps: float = FPS) -> list[str]:
    """Write one subject's motions. Importing them at ``fps`` restores the motions.

    Args:
        folder: Output folder, created if it does not exist.
        subject: Subject number, the SS of ``SS.asf`` and ``SS_TT.amc``.
        motions: Motions (T,31,3) in metres in the layout cmu31, with bones of constant length.
        fps: Frame rate of the motions. Interpolated frames keep the bone lengths.

    Returns:
        Names of the recordings, ``SS_TT``.

    Raises:
        UserError: A bone changes its length by more than 1 mm.
    """
    tree = _tree()
    first = motions[0][0]
    bones = {joint: first[joint] - first[parent] for joint, parent in tree.items()}
    lengths = {joint: float(np.linalg.norm(bone)) for joint, bone in bones.items()}
    for motion in motions:
        for joint, parent in tree.items():
            change = np.abs(np.linalg.norm(motion[:, joint] - motion[:, parent], axis=-1) - lengths[joint]).max()
            if change > 1e-3:
                raise UserError(f'subject {subject}: the bone to {_CMU.joints[joint]} changes its length by '
                                f'{change:.3f} m; asf/amc needs rigid bones: pass noise-free motions of one subject')
    # Axes are tilted as in real files, so a reader that ignores them fails.
    tilts = {joint: np.random.default_rng([31, joint]).uniform(-90, 90, 3).round(3) for joint in tree}
    os.makedirs(folder, exist_ok=True)
    with open(osp.join(folder, f'{subject:02d}.asf'), 'w', encoding='ascii') as file:
        file.write(_asf(tree, {joint: bone / lengths[joint] for joint, bone in bones.items()}, lengths, tilts))
    names = [f'{subject:02d}_{take + 1:02d}' for take in range(len(motions))]
    for name, motion in zip(names, motions, strict=True):
        time = np.arange(round((len(motion) - 1) * RATE / fps) + 1) * fps / RATE
        before = np.minimum(time.astype(int), len(motion) - 1)
        share = (time - before)[:, None, None]
        dense = motion[before] * (1 - share) + motion[np.minimum(before + 1, len(motion) - 1)] * share
        with open(osp.join(folder, f'{name}.amc'), 'w', encoding='ascii') as file:
            file.write(_amc(dense, tree, bones, tilts))
    return names


def _tree() -> dict[int, int]:
    """Map each joint to its parent, from the root outwards: the bones of cmu31, rooted as in CMU's files."""
    seen, tree = [_J['root']], {}
    for joint in seen:
        for one, other in (*_CMU.bones, *(bone[::-1] for bone in _CMU.bones)):
            if other == joint and one not in seen:
                seen.append(one)
                tree[one] = joint
    return tree


def _asf(tree: Mapping, directions: Mapping, lengths: Mapping, tilts: Mapping) -> str:
    name = {joint: ASF_BONES[_CMU.joints[joint]] for joint in (0, *tree)}
    lines = [':version 1.10', ':name toy', ':units', '  mass 1.0', f'  length {LENGTH}', '  angle deg',
             ':documentation', '   made by the toy generator', ':root', '  order TX TY TZ RX RY RZ', '  axis XYZ',
             '  position 0 0 0', '  orientation 0 0 0', ':bonedata']
    for number, joint in enumerate(tree, 1):
        lines += ['  begin', f'    id {number}', f'    name {name[joint]}',
                  '    direction ' + ' '.join(f'{value:.9f}' for value in directions[joint]),
                  f'    length {lengths[joint] / INCH * LENGTH:.9f}',
                  '    axis ' + ' '.join(f'{value:.3f}' for value in tilts[joint]) + '  XYZ',
                  '    dof rx ry rz', '    limits (-180.0 180.0)', *['           (-180.0 180.0)'] * 2, '  end']
    lines += [':hierarchy', '  begin']
    for parent in dict.fromkeys(tree.values()):
        lines.append(f'    {name[parent]} ' + ' '.join(name[joint] for joint in tree if tree[joint] == parent))
    return '\n'.join([*lines, '  end', ''])


def _amc(motion: np.ndarray, tree: Mapping, bones: Mapping, tilts: Mapping) -> str:
    """Format the frames. Each bone uses the smallest rotation from its parent's frame to its actual direction."""
    root = np.zeros((len(motion), 6))
    root[:, :3] = motion[:, _J['root']] / INCH * LENGTH
    turns, columns = {_J['root']: Rotation.identity(len(motion))}, {'root': root}
    for joint, parent in tree.items():
        wanted = turns[parent].inv().apply(motion[:, joint] - motion[:, parent])
        turn = _smallest(bones[joint], wanted)
        turns[joint] = turns[parent] * turn
        tilt = Rotation.from_euler('xyz', tilts[joint], degrees=True)
        columns[ASF_BONES[_CMU.joints[joint]]] = (tilt.inv() * turn * tilt).as_euler(
            'xyz', degrees=True, suppress_warnings=True)
    lines = ['#!OML:ASF', ':FULLY-SPECIFIED', ':DEGREES']
    for frame in range(len(motion)):
        lines.append(str(frame + 1))
        lines += [f'{bone} ' + ' '.join(f'{value:.6f}' for value in values[frame]) for bone, values in columns.items()]
    return '\n'.join([*lines, ''])


def _smallest(start: np.ndarray, stop: np.ndarray) -> Rotation:
    """Return the smallest rotations from one direction (3,) to others (T,3)."""
    start = start / np.linalg.norm(start)
    stop = stop / np.linalg.norm(stop, axis=-1, keepdims=True)
    axis = np.cross(start, stop)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    upright = np.cross(start, np.eye(3)[np.abs(start).argmin()])  # for the opposite direction, any perpendicular axis
    axis = np.where(sine > 1e-9, axis / np.maximum(sine, 1e-9), upright / np.linalg.norm(upright))
    return Rotation.from_rotvec(axis * np.arctan2(sine, stop @ start[:, None]))
