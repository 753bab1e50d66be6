"""Toy data: procedural, labelled motions of 25-joint skeletons, as a depth camera would record them.

The data needs no download and no licence. A clip takes a few milliseconds, and the same seed gives the same bytes.
Camera coordinates follow Kinect: y points up, z away from the camera, and +x to the right-hand side of a person who
faces the camera.
"""
import os

import numpy as np

from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.datasets.toy.actions import PAIR, SOLO, pair_gap
from mmskelssl.datasets.toy.actor import FPS, Actor
from mmskelssl.datasets.toy.body import LAYOUT, Body, body_joints, rotation
from mmskelssl.errors import UserError

ACTIONS: tuple[str, ...] = tuple(action.__name__ for action in SOLO + PAIR)
CAMERAS = {1: 45., 2: 0., 3: -45.}  # viewing angles in degrees, as in NTU RGB+D
FRAMES = (30, 120)
# The sensor locates hands and feet less precisely than the trunk.
_NOISE = np.array([2.2 if 'tip' in name or 'thumb' in name else 1.5 if name.split('_')[-1] in (
    'hand', 'wrist', 'ankle', 'foot') else 1. for name in LAYOUT.joints])
_LIMBS = [list(joints[1:]) for part, joints in LAYOUT.parts.items() if part != 'trunk']


def make_sample(rng: np.random.Generator, action: int, subject: int, camera: int, noise: float = 1.,
                clutter: float = 1.) -> np.ndarray:
    """Generate one recorded clip.

    Args:
        rng: Random generator for everything that differs between two recordings of the same subject and action.
        action: Index in :data:`ACTIONS`.
        subject: Subject number; it determines proportions and habits.
        camera: 1, 2 or 3 (+45, 0, -45 degrees, with jitter).
        noise: Scale of the sensor errors; 0 gives the exact motion in front of an upright camera.
        clutter: Scale of unrelated motion: fidgeting hands, small steps and turns.

    Returns:
        Keypoints (M,T,25,3) float32 in metres at 30 frames per second. M is 2 for two-person actions and 1 otherwise.

    Raises:
        UserError: The action or the camera does not exist.
    """
    if not 0 <= action < len(ACTIONS):
        raise UserError(f'toy data: action {action} is outside 0..{len(ACTIONS) - 1}')
    if camera not in CAMERAS:
        raise UserError(f'toy data: camera {camera} is not one of {sorted(CAMERAS)}')
    frames = int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    habit = np.random.default_rng([26, subject, action]).normal(0, .08, 3)
    actor = Actor(Body.of_subject(subject), frames, rng, habit, clutter)
    if action < len(SOLO):
        SOLO[action](actor)
        people = [body_joints(actor.body, actor)]
        heading = rng.normal(0, .35)
    else:
        # The partner is a random person; the subject is the one who starts the action.
        partner = Actor(Body.of_subject(int(rng.integers(1000, 1100))), frames, rng, clutter=clutter)
        PAIR[action - len(SOLO)](actor, partner)
        people = [body_joints(one.body, one) for one in (actor, partner)]
        gap = pair_gap(actor.body, partner.body)
        people = [people[0] + (0, 0, gap / 2), people[1] * (-1, 1, -1) - (0, 0, gap / 2)]
        heading = rng.choice((-1, 1)) * np.pi / 2 + rng.normal(0, .25)  # seen from the side
        if rng.random() < .5:
            people.reverse()
    joints = np.stack(people)
    heading += np.radians(CAMERAS[camera] + rng.normal(0, 8))
    joints = joints @ rotation(1, np.array([heading]))[0].T
    joints += (rng.uniform(-.4, .4), -rng.uniform(.8, 1.2), rng.uniform(2.6, 3.6))
    if noise:
        joints = _sensor(joints, rng, noise)
    return joints.astype(np.float32)


def _sensor(joints: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Add errors of a depth camera to joints (M,T,V,3): tilt, jitter, and limbs that briefly freeze or go astray."""
    joints = joints @ rotation(0, rng.normal(0, .04 * noise, 1))[0].T
    white = rng.normal(0, 1, joints.shape)
    slow = (white + np.roll(white, 1, 1) + np.roll(white, 2, 1) + np.roll(white, 3, 1)) / 2
    sigma = noise * rng.uniform(.008, .02) * _NOISE[:, None]
    persons, frames = joints.shape[:2]
    for _ in range(rng.poisson(1.6 * persons)):
        person, limb = rng.integers(persons), _LIMBS[rng.integers(len(_LIMBS))]
        begin, length = rng.integers(frames), rng.integers(4, 20)
        span = joints[person, begin:begin + length]
        if rng.random() < .5:
            span[:, limb] = span[:1, limb]
        else:
            astray = rng.normal(0, .09 * noise, 3) * np.hanning(len(span) + 2)[1:-1, None]
            span[:, limb] += astray[:, None] * np.linspace(.4, 1.2, len(limb))[:, None]
    return joints + sigma * (.6 * white + .6 * slow)


def write_toy_store(path: str | os.PathLike, num_samples: int = 1600, seed: int = 0, subjects: int = 20,
                    noise: float = 1., clutter: float = 1., overwrite: bool = False) -> str:
    """Write a store of toy clips, balanced over actions and subjects.

    The splits are ``train``/``test`` (the same as ``xsub_train``/``xsub_test``: odd/even subjects) and
    ``xview_train``/``xview_test`` (cameras 2 and 3 / camera 1).

    Args:
        path: Folder of the new store.
        num_samples: Number of clips; clip ``i`` depends only on ``(seed, i)``.
        seed: Random seed. Another seed gives other clips of the same subjects.
        subjects: Number of subjects, at least 2.
        noise: Scale of the sensor errors.
        clutter: Scale of the idle motions.
        overwrite: Replace an existing store.

    Returns:
        The path of the store.
    """
    if subjects < 2 or num_samples < 1:
        raise UserError(f'toy data: num_samples={num_samples}, subjects={subjects}; expected at least 1 clip '
                        'and 2 subjects')
    splits: dict[str, list[str]] = {
        name: [] for name in ('train', 'test', 'xsub_train', 'xsub_test', 'xview_train', 'xview_test')}
    taken: dict[tuple, int] = {}
    with StoreWriter(path, layout='ntu25', channels=3, units='m', fps=FPS, classes=list(ACTIONS), source='toy',
                     options=dict(num_samples=num_samples, seed=seed, subjects=subjects, noise=noise, clutter=clutter),
                     overwrite=overwrite) as writer:
        for index in range(num_samples):
            rng = np.random.default_rng([seed, index])
            action, turn = index % len(ACTIONS), index // len(ACTIONS)
            subject, camera = (turn + action) % subjects + 1, int(rng.integers(1, 4))
            take = taken[action, subject, camera] = taken.get((action, subject, camera), 0) + 1
            name = f'S001C{camera:03d}P{subject:03d}R{take:03d}A{action + 1:03d}'
            writer.add(name, make_sample(rng, action, subject, camera, noise, clutter), label=action, subject=subject,
                       camera=camera)
            side = 'train' if subject % 2 else 'test'
            splits[side].append(name)
            splits[f'xsub_{side}'].append(name)
            splits['xview_test' if camera == 1 else 'xview_train'].append(name)
        for split, names in splits.items():
            writer.set_split(split, names)
    return os.fspath(path)
