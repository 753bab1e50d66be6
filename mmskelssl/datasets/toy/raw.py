"""Writes the toy motions as raw files of other data sets, to try their importers and configs without the data."""
import os
import os.path as osp

import numpy as np
from rich.progress import track

from mmskelssl.datasets.toy.store import ACTIONS, make_sample
from mmskelssl.errors import UserError


def write_raw(kind: str, folder: str, num_samples: int = 200, seed: int = 0, subjects: int = 20) -> None:
    """Write raw files of a data set.

    Args:
        kind: ``ntu``, ``pkummd`` or ``cmu``.
        folder: Folder to create; it must not exist.
        num_samples: Number of action clips.
        seed: Random seed, as for the toy store.
        subjects: Number of subjects.

    Raises:
        UserError: The folder exists.
    """
    if osp.lexists(folder):
        raise UserError(f'{folder} already exists: choose another folder')
    if kind == 'cmu':
        from mmskelssl.datasets.toy.asf_amc import write_toy_cmu
        write_toy_cmu(folder, num_samples, seed, subjects)
        return
    os.makedirs(folder)
    clips = track([_clip(seed, i, subjects) for i in range(num_samples)], 'writing', disable=num_samples < 100)
    dict(ntu=_write_ntu, pkummd=_write_pkummd)[kind](folder, clips, np.random.default_rng([seed, 7]))


def _clip(seed: int, index: int, subjects: int):
    rng = np.random.default_rng([seed, index])
    action, turn = index % len(ACTIONS), index // len(ACTIONS)
    subject, camera = (turn + action) % subjects + 1, int(rng.integers(1, 4))
    return make_sample(rng, action, subject, camera), action, subject, camera, index


def _write_ntu(folder: str, clips, rng: np.random.Generator) -> None:
    for keypoints, action, subject, camera, index in clips:
        setup, take = index // 1000 + 1, index // len(ACTIONS) % 999 + 1
        name = f'S{setup:03d}C{camera:03d}P{subject:03d}R{take:03d}A{action + 1:03d}.skeleton'
        # The second body appears a little later and leaves a little earlier, as in real files.
        late = tuple(rng.integers(0, 3, 2)) if len(keypoints) > 1 else (0, 0)
        with open(osp.join(folder, name), 'w', encoding='ascii', newline='\r\n' if index % 2 else '\n') as file:
            file.write(skeleton_text(keypoints, late))


def skeleton_text(keypoints: np.ndarray, late: tuple[int, int] = (0, 0)) -> str:
    """Format a clip (M, T, 25, 3) as an NTU file.

    ``late`` gives the numbers of frames at the beginning and at the end that show only the first body.
    """
    frames = keypoints.shape[1]
    lines = [str(frames)]
    for t in range(frames):
        bodies = [m for m in range(len(keypoints)) if m == 0 or late[0] <= t < frames - late[1]]
        lines.append(str(len(bodies)))
        for m in bodies:
            lines += [f'{72057594037931101 + m} 0 1 1 1 1 0 0.01 0.02 2', str(keypoints.shape[2])]
            for x, y, z in keypoints[m, t].tolist():
                depth = f'{256 + 365 * x / z:.4f} {212 - 365 * y / z:.4f}'
                colour = f'{960 + 1050 * x / z:.4f} {540 - 1050 * y / z:.4f}'
                lines.append(f'{x:.7g} {y:.7g} {z:.7g} {depth} {colour} 0 0 0 0 2')
    return '\n'.join(lines) + '\n'


def _write_pkummd(folder: str, clips, rng: np.random.Generator) -> None:
    """Write recordings of five actions with idle frames between them, their labels, and both splits."""
    clips = list(clips)
    for part in ('Skeleton', 'Label', 'Split'):
        os.makedirs(osp.join(folder, part))
    recordings = []
    for number, start in enumerate(range(0, len(clips), 5), 1):
        subject, views = clips[start][2], 'LMR'
        name = f'A{number:02d}N{subject:02d}-{views[number % 3]}'
        frames, labels, at = [], [], 0
        for keypoints, action, *_ in clips[start:start + 5]:
            body = np.zeros((keypoints.shape[1], 2, 25, 3))
            body[:, :len(keypoints)] = keypoints.swapaxes(0, 1)
            idle = np.repeat(body[:1], int(rng.integers(5, 15)), 0)
            frames += [idle, body]
            at += len(idle)
            labels.append(f'{action + 1},{at},{at + len(body)},2')
            at += len(body)
        rows = np.concatenate(frames).reshape(-1, 150)
        np.savetxt(osp.join(folder, 'Skeleton', f'{name}.txt'), rows, '%.7g')
        with open(osp.join(folder, 'Label', f'{name}.txt'), 'w', encoding='ascii') as file:
            file.write('\n'.join(labels) + '\n')
        recordings.append((name, subject))
    for wish, trains in (('subject', lambda name, who: who % 2 == 1), ('view', lambda name, who: name[-1] != 'L')):
        parts = [[name for name, who in recordings if trains(name, who) == part] for part in (True, False)]
        with open(osp.join(folder, 'Split', f'cross-{wish}.txt'), 'w', encoding='ascii') as file:
            file.write(f'Training videos:\n{", ".join(parts[0])}\n\nValidation videos:\n{", ".join(parts[1])}\n')
