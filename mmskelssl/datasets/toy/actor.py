"""An actor of the toy data: one person's posture over a clip, idle at first, and the building blocks of actions.

Targets of hands and feet have the axes (out, up, forward), where out points away from the body's midline. Hand targets
are relative to the shoulder, in arm lengths. Foot targets are relative to the foot's place on the floor, in metres.
"""
import numpy as np

from mmskelssl.datasets.toy.body import Body

FPS = 30
LEFT, RIGHT = 0, 1


def rise(time, start: float, stop: float) -> np.ndarray:
    """Smooth step from 0 at ``start`` to 1 at ``stop`` (seconds)."""
    x = np.clip((time - start) / max(stop - start, 1e-3), 0, 1)
    return x * x * (3 - 2 * x)


class Actor:
    """Tracks of one person's posture over a clip. They start as idle motion, and actions modify them.

    Args:
        body: The subject.
        frames: T, at 30 frames a second.
        rng: Random generator for everything that differs between clips.
        habit: (3,) offset of this subject's gestures, the same in every clip of this action.
        clutter: Scale of the probability of idle motions unrelated to the action.
    """

    def __init__(self, body: Body, frames: int, rng: np.random.Generator, habit=(0., 0., 0.),
                 clutter: float = 1.):
        self.body, self.rng, self.habit, self.clutter = body, rng, np.asarray(habit), clutter
        self.time = np.arange(frames) / FPS
        self.length = frames / FPS
        self.main = int(body.right_handed ^ (rng.random() < .25))
        self.amp = body.amplitude * rng.normal(1, .2)
        self.tempo = body.tempo * rng.uniform(.8, 1.25)
        self.start = (self.length - .4) * rng.uniform(.06, .5)
        idle = rng.uniform(.5, 1.6)
        noise = self._wander(16) * idle
        self.path, self.pelvis = np.zeros((frames, 3)), noise[:, :3] * (.02, .004, .015) - (0, .004 * idle, 0)
        self.yaw, self.sway_yaw = np.zeros(frames), .09 * noise[:, 3]
        self.lean, self.roll, self.bend = .02 * noise[:, 4], .02 * noise[:, 5], .04 * noise[:, 6] + rng.normal(0, .05)
        self.twist, self.nod, self.look = .08 * noise[:, 7], .1 * noise[:, 8] + rng.normal(0, .1), .25 * noise[:, 9]
        self.hand = [body.rest[s] + rng.normal(0, .04, 3) + .05 * noise[:, 10 + 3 * s:13 + 3 * s] for s in (0, 1)]
        self.elbow = [np.zeros(frames) for _ in (0, 1)]
        self.foot = [np.zeros((frames, 3)) for _ in (0, 1)]
        self.toe, self.free, self.foot_yaw = np.zeros((2, frames)), np.zeros((2, frames)), np.zeros((2, frames))

    def _wander(self, tracks: int) -> np.ndarray:
        """Return slow random tracks (T,tracks) of about unit size."""
        waves = self.rng.uniform((.1, 0, .4), (.9, 2 * np.pi, 1), (3, tracks, 3))
        angle = 2 * np.pi * waves[..., 0] * self.time[:, None, None] + waves[..., 1]
        return np.sum(waves[..., 2] * np.sin(angle), axis=1)

    def distract(self, hands=(), steps: bool = True):
        """Add unrelated motion: fidget with a free hand, shift a foot, turn a little, bend the trunk."""
        for side in hands:
            if self.rng.random() < .6 * self.clutter:
                start = self.rng.uniform(.02, .8) * self.length
                target = self.rng.uniform((-.35, -.75, .1), (.45, .5, .75))
                self.reach(side, self.hold(start, start + self.rng.uniform(.7, 1.8)), target)
        if steps and self.rng.random() < .35 * self.clutter:
            self.step(self.rng.uniform(-.2, .2, 2), self.rng.uniform(0, .7) * self.length)
        if steps and self.rng.random() < .35 * self.clutter:
            self.turn(self.rng.uniform(-.6, .6), self.rng.uniform(0, .7) * self.length, .7)
        if self.rng.random() < .3 * self.clutter:
            start = self.rng.uniform(0, .8) * self.length
            self.bend = self.bend + self.rng.uniform(-.1, .35) * self.hold(start, start + self.rng.uniform(.6, 1.6))

    def seconds(self, low: float, high: float) -> float:
        """Return a duration at this person's pace that keeps most of the motion inside the clip."""
        return min(self.rng.uniform(low, high) / self.tempo, 1.15 * (self.length - self.start))

    def hold(self, start: float, stop: float, ramp: float = .35) -> np.ndarray:
        """Return an envelope (T,) that rises after ``start`` and falls before ``stop``."""
        ramp = min(ramp / self.tempo, .45 * (stop - start))
        return rise(self.time, start, start + ramp) * (1 - rise(self.time, stop - ramp, stop))

    def wave(self, hertz: float, phase: float = 0.) -> np.ndarray:
        return np.sin(2 * np.pi * hertz * (self.time - self.start) + phase)

    def rate(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high) * self.tempo

    def vary(self, target, spread: float = .09) -> np.ndarray:
        """Return ``target`` with the subject's habit and the random variation of this clip."""
        return np.asarray(target) + self.habit + self.rng.normal(0, spread, 3)

    def reach(self, side: int, weight: np.ndarray, target: np.ndarray):
        """Move a hand to ``target``, (3,) or (T,3), on a path around the body."""
        weight = weight[:, None]
        arc = np.array([.15, 0, .3]) * (4 * weight * (1 - weight))
        self.hand[side] = self.hand[side] * (1 - weight) + target * weight + arc * .5

    def step(self, way, start: float, duration: float = .7):
        """Take two steps, one with each foot, that move the body by ``way`` (right, forward) in metres."""
        way = np.array([way[0], 0, -way[1]])
        move = rise(self.time, start, start + duration)
        self.path = self.path + move[:, None] * way
        for side, begin in zip((LEFT, RIGHT) if way[0] < 0 else (RIGHT, LEFT), (0, .45), strict=True):
            own = rise(self.time, start + begin * duration, start + (begin + .55) * duration)
            lag = (own - move)[:, None] * way
            self.foot[side] = self.foot[side] + lag * ((-1, 1)[side], 0, -1)
            self.foot[side][:, 1] += .06 * 4 * own * (1 - own)

    def turn(self, angle: float, start: float, duration: float):
        """Turn the whole body by ``angle`` radians (positive: left) in small steps."""
        steps = max(1, round(abs(angle) / .8))
        self.yaw = self.yaw + angle * rise(self.time, start, start + duration)
        for side in (LEFT, RIGHT):
            first = side == (angle < 0)
            for k in range(steps):
                begin = start + duration * (k + (0 if first else .45)) / steps
                own = rise(self.time, begin, begin + .5 * duration / steps)
                self.foot_yaw[side] += own * angle / steps
                self.foot[side][:, 1] += .07 * 4 * own * (1 - own)
