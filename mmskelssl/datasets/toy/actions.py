"""The actions of the toy data. Each is a short function that modifies the tracks of an idle :class:`Actor`.

Every action begins in the same idle stance and starts at a random time. Neither the first frame nor the length of a
clip reveals the action.
"""
import numpy as np

from mmskelssl.datasets.toy.actor import FPS, LEFT, RIGHT, Actor, rise
from mmskelssl.datasets.toy.body import Body


def wave(a: Actor):
    a.distract([1 - a.main])
    on = a.hold(a.start, a.start + a.seconds(1.5, 4))
    target = a.vary((.4, .5, .25)) + np.zeros((len(on), 3))
    target[:, 0] += .24 * a.amp * a.wave(a.rate(1.3, 2.6), a.rng.uniform(0, 6))
    a.reach(a.main, on, target)


def throw(a: Actor):
    a.distract([1 - a.main], steps=False)
    span, side = a.seconds(1, 1.8), a.main
    back, forth, end = a.start + .45 * span, a.start + .62 * span, a.start + span
    wind, release = rise(a.time, a.start, back) * (1 - rise(a.time, back, forth)), rise(a.time, back, forth)
    follow = rise(a.time, forth, end)
    sign = (1, -1)[side]
    a.reach(side, wind, a.vary((.35, .35, -.3)))
    a.reach(side, release * (1 - follow), a.vary((-.05, .35, .85)))
    a.twist = a.twist + a.amp * sign * (.6 * wind - .45 * release * (1 - follow))
    a.lean = a.lean + .2 * release * (1 - follow) - .08 * wind
    if a.rng.random() < .6:
        a.step((0, a.rng.uniform(.1, .35)), a.start + .3 * span, .4 * span)


def kick(a: Actor):
    a.distract([0, 1], steps=False)
    span, side = a.seconds(.9, 1.5), a.main
    back = a.hold(a.start, a.start + .55 * span, .3 * span)
    swing = a.hold(a.start + .35 * span, a.start + span, .27 * span)
    reach = np.array([-.02, .35 * a.amp + a.rng.uniform(0, .2), .55 * a.amp]) * a.body.leg / .8 + a.habit * .5
    a.foot[side] = a.foot[side] + swing[:, None] * reach + back[:, None] * (0, .18, -.3)
    both = np.maximum(back, swing)
    a.free[side] = both
    a.pelvis = a.pelvis + both[:, None] * ((1, -1)[side] * .07, 0, 0)
    a.lean = a.lean + .15 * back - .25 * swing
    a.toe[side] += .5 * both
    a.reach(1 - side, .7 * both, a.vary((.3, -.6, .4)))
    a.reach(side, .6 * both, a.vary((.4, -.8, -.25)))


def sit_down(a: Actor):
    a.distract([0, 1], steps=False)
    span = a.seconds(1, 1.8)
    down = rise(a.time, a.start, a.start + span) * a.rng.uniform(.9, 1.05)
    a.pelvis = a.pelvis - down[:, None] * (0, .5 * a.body.leg, .42 * a.body.leg)
    a.lean = a.lean + .7 * a.hold(a.start, a.start + 1.15 * span, .5 * span) + .05 * down
    for side in (LEFT, RIGHT):
        a.reach(side, down * .8, a.vary((-.02, -.68, .42)))


def walk(a: Actor):
    a.distract([1 - a.main], steps=False)
    speed = a.rng.uniform(.5, 1.0) * a.tempo
    on = rise(a.time, a.start, a.start + .4)
    if a.rng.random() < .5:
        on = on * (1 - rise(a.time, .8 * a.length, .95 * a.length))
    went = np.cumsum(on) / FPS * speed
    stride = a.rng.uniform(.8, 1.15) * a.body.leg * 1.2
    a.path[:, 2] -= went
    a.path[:, 0] += a.rng.normal(0, .15) * went
    for side in (LEFT, RIGHT):
        cycle = (went / stride + .5 * side) % 1
        # The foot is on the floor for 60 % of the cycle and moves back as fast as the body moves forward.
        swing = rise(cycle, .6, 1)
        ahead = stride * np.where(cycle < .6, .3 - cycle, -.3 + .6 * swing)
        a.foot[side][:, 2] += on * ahead
        a.foot[side][:, 1] += on * .12 * 4 * swing * (1 - swing)
        a.toe[side] += on * .6 * np.sin(np.pi * np.clip((cycle - .5) / .35, 0, 1))
        a.hand[1 - side] = a.hand[1 - side] + (.35 * a.amp * on * np.sin(2 * np.pi * (cycle + .2)))[:, None] * (
            0, .05, 1) + on[:, None] * (0, .06, .03)
    a.pelvis[:, 1] -= .01 * on * (1 + np.cos(4 * np.pi * went / stride))
    a.twist = a.twist + .12 * on * np.sin(2 * np.pi * went / stride)


def jump(a: Actor):
    a.distract([0, 1], steps=False)
    begin, height = a.start, a.rng.uniform(.15, .35) * a.amp
    for _ in range(a.rng.integers(1, 4)):
        span = .75 / a.tempo
        _leap(a, begin, span, height, (LEFT, RIGHT))
        up = a.hold(begin + .3 * span, begin + 1.2 * span, .35 * span)
        target = a.vary((.2, -.35, .65))
        for side in (LEFT, RIGHT):
            a.reach(side, .8 * a.hold(begin, begin + .6 * span, .3 * span), np.array([.2, -.8, -.25]))
            a.reach(side, .8 * up, target)
        begin += 1.25 * span


def _leap(a: Actor, begin: float, span: float, height: float, sides, crouch: float = .22):
    """Crouch, fly and land. The pelvis and the feet of ``sides`` leave the floor together."""
    time = a.time - begin
    fly = np.clip((time / span - .35) / .4, 0, 1)
    air = height * 4 * fly * (1 - fly)
    landing = a.hold(begin + .7 * span, begin + 1.2 * span, .2)
    dip = np.maximum(a.hold(begin, begin + .42 * span, .2 * span), .7 * landing)
    a.path[:, 1] += air
    for side in (LEFT, RIGHT):
        a.foot[side][:, 1] += .12 * air
        a.toe[side] += .7 * 4 * fly * (1 - fly)
    a.pelvis = a.pelvis - dip[:, None] * (0, crouch * a.body.leg, .05)
    a.lean = a.lean + .35 * crouch / .22 * dip


def hop(a: Actor):
    a.distract([0, 1], steps=False)
    side, rate = a.main, a.rate(1.4, 2.2)
    stop = a.start + a.seconds(1.2, 4)
    lift = a.hold(a.start, stop, .3)
    a.free[1 - side] = lift
    a.foot[1 - side] = a.foot[1 - side] + lift[:, None] * (
        -.02, .32 * a.body.leg, a.rng.uniform(-.35, .3) * a.body.leg)
    a.pelvis = a.pelvis + lift[:, None] * ((-1, 1)[side] * .8 * a.body.stance, -.02, 0)
    for begin in np.arange(a.start + .2, stop - .3, 1 / rate):
        _leap(a, begin, .8 / rate, a.rng.uniform(.06, .13) * a.amp, (side,), crouch=.08)
    for k in (LEFT, RIGHT):
        a.reach(k, .6 * lift, a.vary((.45, -.6, .3), .12))


def clap(a: Actor):
    a.distract()
    on = a.hold(a.start, a.start + a.seconds(1.2, 4))
    middle = -a.body.shoulder / a.body.arm
    target = a.vary((0, -.25, .55)) + np.zeros((len(on), 3))
    target[:, 0] = middle + .04 + .17 * a.amp * (1 + a.wave(a.rate(1.6, 3.2), a.rng.uniform(0, 6)))
    for side in (LEFT, RIGHT):
        a.reach(side, on, target)


def bow(a: Actor):
    a.distract([0, 1])
    on = a.hold(a.start, a.start + a.seconds(1.3, 2.6), .6)
    depth = a.rng.uniform(.65, 1.2) * a.amp
    a.lean = a.lean + .6 * depth * on
    a.bend = a.bend + .5 * depth * on
    a.pelvis = a.pelvis - on[:, None] * (0, .01, .16 * depth)
    if a.rng.random() < .5:
        for side in (LEFT, RIGHT):
            a.reach(side, on, a.vary((-.12, -.8, .3)))
    else:
        for side in (LEFT, RIGHT):
            a.reach(side, on, a.vary((.08, -.9, .05), .05))


def pick_up(a: Actor):
    a.distract([1 - a.main])
    on = a.hold(a.start, a.start + a.seconds(1.3, 2.4), .6)
    depth = a.rng.uniform(.75, 1.05)
    a.lean = a.lean + .85 * depth * on
    a.bend = a.bend + .55 * depth * on
    a.pelvis = a.pelvis - on[:, None] * (0, a.rng.uniform(.1, .4) * a.body.leg, .2)
    a.reach(a.main, on, a.vary((0, -.9, .4)))


def turn(a: Actor):
    a.distract([0, 1], steps=False)
    a.turn(a.rng.choice((-1, 1)) * a.rng.uniform(1.4, 3.2), a.start, a.seconds(1, 2.2))


def _hand_to_head(a: Actor, target, nod: float):
    a.distract([1 - a.main])
    on = a.hold(a.start, a.start + a.seconds(1.3, 3.5), .45)
    a.reach(a.main, on, a.vary(target, .05))
    a.elbow[a.main] = a.elbow[a.main] + a.rng.uniform(-.3, .5) * on
    a.nod = a.nod + nod * on


def drink(a: Actor):
    _hand_to_head(a, (-.24, .1, .42), -a.rng.uniform(.1, .4))


def phone(a: Actor):
    _hand_to_head(a, (.06, .17, .26), a.rng.uniform(-.1, .2))


def point(a: Actor):
    a.distract([1 - a.main])
    on = a.hold(a.start, a.start + a.seconds(1.2, 3), .4)
    a.reach(a.main, on, a.vary((a.rng.uniform(-.1, .45), .08, .95), .1))


def handshake(a: Actor, b: Actor):
    span, rate = a.seconds(1.3, 3), a.rate(1.3, 2.6)
    on = a.hold(a.start, a.start + span, .45)
    middle = .78 * (a.body.shoulder_height + b.body.shoulder_height) / 2 + a.rng.normal(0, .03)
    height = middle + .07 * a.amp * np.sin(2 * np.pi * rate * (a.time - a.start))
    for one in (a, b):
        one.distract([LEFT], steps=False)
        target = np.empty((len(on), 3))
        target[:, 0] = -one.body.shoulder
        target[:, 1] = height - one.body.shoulder_height
        target[:, 2] = pair_gap(a.body, b.body) / 2 - 1.5 * one.body.hand
        one.reach(RIGHT, on, target / one.body.arm)
        one.bend = one.bend + .06 * on


def pair_gap(first: Body, second: Body) -> float:
    """Distance in metres between two persons who are about to interact."""
    return .92 * (first.arm + second.arm)


def push(a: Actor, b: Actor):
    span = a.seconds(.9, 1.6)
    draw = a.hold(a.start, a.start + .5 * span, .25 * span)
    out = a.hold(a.start + .3 * span, a.start + span, .25 * span)
    a.distract(steps=False)
    a.step((0, .45 * a.body.arm), a.start, .45 * span)
    for side in (LEFT, RIGHT):
        a.reach(side, np.maximum(draw, out), a.vary((-.1, -.15, .35), .04) + out[:, None] * (0, .1, .55))
    a.lean = a.lean + .18 * out
    b.distract([LEFT, RIGHT], steps=False)
    hit = a.start + .5 * span
    b.step((0, -b.rng.uniform(.25, .5)), hit, .6)
    jolt = b.hold(hit, hit + .8, .25)
    b.lean = b.lean - .15 * jolt
    b.bend = b.bend + .2 * jolt
    for side in (LEFT, RIGHT):
        b.reach(side, .6 * jolt, b.vary((.3, -.6, .45)))


SOLO = (wave, throw, kick, sit_down, walk, jump, clap, bow, hop, turn, drink, phone, point, pick_up)
PAIR = (handshake, push)
