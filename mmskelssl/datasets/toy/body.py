"""The body of the toy data: the proportions of a subject and the 25 joints of a posture.

The body frame has x to the person's right, y up and z to the back, in metres. A person with heading 0 faces the camera
(-z). Hands and feet follow targets; two-bone inverse kinematics places the elbows and knees. Therefore bones keep their
lengths, joints bend the right way and planted feet do not slide.
"""
from dataclasses import dataclass

import numpy as np

from mmskelssl.layouts import get_layout

LAYOUT = get_layout('ntu25')
SIDES = (-1.0, 1.0)  # x of the left (0) and the right (1) side
_J = {name: i for i, name in enumerate(LAYOUT.joints)}
_LIMBS = [tuple(_J[f'{side}_{joint}'] for joint in ('shoulder', 'elbow', 'wrist', 'hand', 'hand_tip', 'thumb',
                                                    'hip', 'knee', 'ankle', 'foot')) for side in ('left', 'right')]


@dataclass(frozen=True)
class Body:
    """Lengths of one subject in metres, and the habits that affect all their motions.

    ``rest`` is the resting position of the hands relative to the shoulders, (left, right) x (out, up, forward) in arm
    lengths.
    """
    height: float
    shank: float
    thigh: float
    ankle: float
    foot: float
    hip: float
    belly: float
    chest: float
    neck: float
    head: float
    shoulder: float
    upper_arm: float
    forearm: float
    hand: float
    stance: float
    stoop: float
    amplitude: float
    tempo: float
    right_handed: bool
    rest: np.ndarray

    @property
    def arm(self) -> float:
        return self.upper_arm + self.forearm

    @property
    def leg(self) -> float:
        return self.shank + self.thigh

    @property
    def shoulder_height(self) -> float:
        return self.ankle + .99 * self.leg + self.belly + self.chest - .1 * self.shoulder

    @classmethod
    def of_subject(cls, subject: int) -> 'Body':
        """Return the body of a subject number; the same number always gives the same body."""
        rng = np.random.default_rng([25, subject])
        height = rng.uniform(1.50, 1.95)
        legs, arms, width = rng.normal(1, 0.03), rng.normal(1, 0.04), rng.normal(1, 0.07)

        def length(share: float, scale: float = 1.0) -> float:
            return height * share * scale * rng.normal(1, 0.025)

        return cls(
            height=height, shank=length(.235, legs), thigh=length(.235, legs), ankle=length(.045), foot=length(.085),
            hip=length(.05, width), belly=length(.165), chest=length(.135), neck=length(.042), head=length(.088),
            shoulder=length(.105, width), upper_arm=length(.165, arms), forearm=length(.15, arms),
            hand=length(.042, arms), stance=length(.055) * rng.uniform(.8, 1.7), stoop=rng.uniform(-.02, .16),
            amplitude=rng.normal(1, .12), tempo=rng.uniform(.8, 1.25), right_handed=bool(rng.random() < .75),
            rest=np.array([.11, -.965, .07]) + rng.normal(0, (.05, .015, .06), (2, 3)))


def rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """Return matrices (T,3,3) that rotate column vectors about a coordinate axis by ``angle`` (T,) in radians."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt(np.einsum('ti,ti->t', vectors, vectors))[:, None]


def two_bones(start, target, first: float, second: float, pole):
    """Solve a two-bone chain that reaches for ``target`` and bends towards ``pole`` (all (T,3)).

    Returns:
        The middle joint, the end joint, and the unit vector of the bend, perpendicular to the reach; all (T,3).
    """
    reach = target - start
    distance = np.sqrt(np.einsum('ti,ti->t', reach, reach))[:, None]
    along = reach / np.maximum(distance, 1e-6)
    # Keep the chain from being fully straight or folded flat, so that the bend has a direction.
    distance = np.clip(distance, .32 * (first + second), .995 * (first + second))
    bend = _unit(pole - np.einsum('ti,ti->t', pole, along)[:, None] * along)
    share = (first**2 - second**2 + distance**2) / (2 * distance)
    middle = start + share * along + np.sqrt(first**2 - share**2) * bend
    return middle, start + distance * along, bend


def body_joints(body: Body, pose) -> np.ndarray:
    """Compute the joints of a posture track.

    Args:
        body: The subject.
        pose: A :class:`~mmskelssl.datasets.toy.actor.Actor` with its tracks.

    Returns:
        Joint positions (T,25,3) in metres, floor at y = 0.
    """
    frames = len(pose.time)
    joints = np.empty((frames, LAYOUT.num_joints, 3))
    pelvis_turn = rotation(1, pose.yaw + pose.sway_yaw)
    pelvis = pelvis_turn @ rotation(2, pose.roll) @ rotation(0, -pose.lean)
    half_bend = rotation(0, -.5 * (pose.bend + body.stoop))
    middle = pelvis @ rotation(1, .5 * pose.twist) @ half_bend
    chest = middle @ rotation(1, .5 * pose.twist) @ half_bend
    # Because of gravity, the arms follow a leaning trunk only in part.
    arms = pelvis_turn @ rotation(1, pose.twist) @ rotation(0, -.35 * (pose.lean + pose.bend))
    head = chest @ rotation(1, pose.look) @ rotation(0, .5 * body.stoop - pose.nod)

    feet, foot_turns, excess = [], [], np.zeros(frames)
    root = pose.path + np.einsum('tij,tj->ti', rotation(1, pose.yaw), pose.pelvis * (1, 1, -1))
    root[:, 1] += body.ankle + .99 * body.leg
    for side, sign in enumerate(SIDES):
        turn = rotation(1, pose.foot_yaw[side])
        offset = pose.foot[side] * (sign, 1, -1) + (sign * body.stance, body.ankle, 0)
        # A pointed foot lifts its heel, so that the toes do not go through the floor.
        heel = body.foot * np.sin(pose.toe[side]) - (body.ankle - .02) * (1 - np.cos(pose.toe[side]))
        offset[:, 1] = np.maximum(offset[:, 1], body.ankle + heel)
        feet.append(pose.path + np.einsum('tij,tj->ti', turn, offset))
        foot_turns.append(turn)
        hip = root + pelvis[:, :, 0] * (sign * body.hip)
        away = hip - feet[side]
        reach = np.sqrt(np.maximum((.993 * body.leg)**2 - away[:, 0]**2 - away[:, 2]**2, .01))
        excess = np.maximum(excess, (away[:, 1] - reach) * (1 - pose.free[side]))
    root[:, 1] -= excess  # lower the pelvis until both planted feet are within reach

    joints[:, _J['hip_centre']] = root
    spine = joints[:, _J['spine']] = root + middle[:, :, 1] * body.belly
    joints[:, _J['shoulder_centre']] = spine + chest[:, :, 1] * body.chest
    joints[:, _J['neck']] = joints[:, _J['shoulder_centre']] + chest[:, :, 1] * body.neck
    joints[:, _J['head']] = joints[:, _J['neck']] + head @ (0, body.head * .98, -body.head * .2)
    for side, sign in enumerate(SIDES):
        shoulder_j, elbow_j, wrist_j, hand_j, tip_j, thumb_j, hip_j, knee_j, ankle_j, foot_j = _LIMBS[side]
        hip = joints[:, hip_j] = root + pelvis[:, :, 0] * (sign * body.hip)
        toes_forward = -.7 * foot_turns[side][:, :, 2] - .5 * pelvis_turn[:, :, 2]
        knee, ankle, _ = two_bones(hip, feet[side], body.thigh, body.shank,
                                   toes_forward + foot_turns[side][:, :, 0] * (sign * .12))
        joints[:, knee_j], joints[:, ankle_j] = knee, ankle
        toe = foot_turns[side] @ rotation(0, -pose.toe[side])
        joints[:, foot_j] = ankle + toe @ (sign * .015, .02 - body.ankle, -body.foot)

        shoulder = joints[:, shoulder_j] = joints[:, _J['shoulder_centre']] + chest @ (
            sign * body.shoulder, -.1 * body.shoulder, 0)
        target = shoulder + np.einsum('tij,tj->ti', arms, pose.hand[side] * (sign, 1, -1)) * body.arm
        target[:, 1] = np.maximum(target[:, 1], 2.2 * body.hand)  # fingertips stay above the floor
        pole = arms @ (sign * .45, -.7, .55) + arms[:, :, 0] * (sign * pose.elbow[side])[:, None]
        elbow, wrist, bend = two_bones(shoulder, target, body.upper_arm, body.forearm, pole)
        forearm = _unit(wrist - elbow)
        thumb = _unit(-bend + np.einsum('ti,ti->t', bend, forearm)[:, None] * forearm)
        joints[:, elbow_j], joints[:, wrist_j] = elbow, wrist
        hand = joints[:, hand_j] = wrist + forearm * body.hand
        joints[:, tip_j] = hand + forearm * body.hand
        joints[:, thumb_j] = hand + .35 * body.hand * forearm + .75 * body.hand * thumb
    return joints
