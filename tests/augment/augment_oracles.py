"""Slow implementations of the augmentations for one clip (C, T, V, M), one number at a time, from docs/methods.md."""
import cmath
import math

import numpy as np


def points(clip):
    """Return (first channel, frame, joint, person) of every point. C=6 contains two points per joint."""
    c, t, v, m = clip.shape
    return [(g, i, j, k) for g in range(0, c, 3) for i in range(t) for j in range(v) for k in range(m)]


def bone_root_first(layout):
    """Return pairs (joint, parent), parents before children, without ``layout.order``."""
    done, bones = {layout.centre}, []
    while len(done) < layout.num_joints:
        for joint in range(layout.num_joints):
            if joint not in done and layout.parents[joint] in done:
                bones.append((joint, layout.parents[joint]))
                done.add(joint)
    return bones


# Time

def temporal_crop(clip, start, pad_ratio=6):
    t = clip.shape[1]
    pad = t // pad_ratio
    frames = [*reversed(range(pad)), *range(t), *reversed(range(t - pad, t))]
    return np.stack([clip[:, frames[int(start) + i]] for i in range(t)], 1)


def time_reverse(clip):
    return np.stack([clip[:, i] for i in reversed(range(clip.shape[1]))], 1)


def gaussian_blur(clip, sigma, taps=15, normalise=False):
    out, t = np.zeros_like(clip), clip.shape[1]
    for i in range(t):
        total = 0.
        for k in range(-(taps // 2), taps // 2 + 1):
            if 0 <= i + k < t:
                weight = math.exp(-k * k / (2 * float(sigma) ** 2))
                total += weight
                out[:, i] += weight * clip[:, i + k]
        if normalise:
            out[:, i] /= total
    return out


def resize(clip, frames):
    source = clip.shape[1]
    out = np.zeros((clip.shape[0], frames, *clip.shape[2:]))
    for i in range(frames):
        position = min(max((i + .5) * source / frames - .5, 0), source - 1)
        low = int(position)
        high = min(low + 1, source - 1)
        out[:, i] = (1 - (position - low)) * clip[:, low] + (position - low) * clip[:, high]
    return out


def interpolate(clip, length):
    out, resized = np.zeros_like(clip), resize(clip, int(length))
    for i in range(min(clip.shape[1], int(length))):
        out[:, i] = resized[:, i]
    return out


def crop_resize(clip, start, length):
    return resize(clip[:, int(start):int(start) + int(length)], clip.shape[1])


# Space

def linear(clip, matrix):
    out = clip.copy()
    for g, i, j, k in points(clip):
        for row in range(3):
            out[g + row, i, j, k] = sum(matrix[row][col] * clip[g + col, i, j, k] for col in range(3))
    return out


def rotate(clip, angles):
    """Rotate right-handed: about x from y to z, about y from z to x, about z from x to y."""
    out = clip.copy()
    for g, i, j, k in points(clip):
        for axis in range(3):
            first, second = g + (axis + 1) % 3, g + (axis + 2) % 3
            turned = complex(out[first, i, j, k], out[second, i, j, k]) * cmath.exp(1j * float(angles[axis]))
            out[first, i, j, k], out[second, i, j, k] = turned.real, turned.imag
    return out


def yaw_rotate(clip, angle):
    return rotate(clip, (0., angle, 0.))


def scale(clip, factor):
    return np.vectorize(lambda value: value * float(factor))(clip)


def gaussian_noise(clip, noise):
    return np.vectorize(lambda value, extra: value + extra)(clip, noise)


def axis_mask(clip, axis):
    out = clip.copy()
    for g in range(0, clip.shape[0], 3):
        out[g + int(axis)] = 0
    return out


def joint_mask(clip, keep):
    out = clip.copy()
    for joint, kept in enumerate(keep):
        if not kept:
            out[:, :, joint] = 0
    return out


def coordinate_dropout(clip, keep):
    return np.vectorize(lambda value, kept: value if kept else 0.)(clip, keep)


def spatial_flip(clip, layout, mirror=False):
    out = clip.copy()
    for left, right in layout.pairs:
        out[:, :, left], out[:, :, right] = clip[:, :, right], clip[:, :, left]
    if mirror:
        for g in range(0, clip.shape[0], 3):
            out[g] = -out[g]
    return out


def rescale(clip, factors, layout):
    out = clip.copy()
    for joint, parent in bone_root_first(layout):
        out[:, :, joint] = out[:, :, parent] + factors[joint] * (clip[:, :, joint] - clip[:, :, parent])
    return out


# Streams

def bone(clip, layout):
    out = np.zeros_like(clip)
    for joint, parent in bone_root_first(layout):
        out[:, :, joint] = clip[:, :, joint] - clip[:, :, parent]
    return out


def motion(clip):
    out = np.zeros_like(clip)
    for i in range(clip.shape[1] - 1):
        out[:, i] = clip[:, i + 1] - clip[:, i]
    return out


# Mixing and style: the clip and its partner

def chosen_joints(plan, layout):
    parts = list(layout.parts.values())
    return [joint for part in plan.parts for joint in parts[part]]


def mix(clip, partner, plan, layout):
    if plan.kind == 'mixup':
        return (1 - plan.lam) * clip + plan.lam * partner
    out, t = clip.copy(), clip.shape[1]
    window = range(plan.cell * plan.start, min(plan.cell * (plan.start + plan.length), t))
    for i in window:
        if plan.kind == 'cutmix':
            source = i
        else:
            source = math.floor((i - window[0]) * min(2 * len(window), t) / len(window))
        for joint in chosen_joints(plan, layout):
            out[:, i, joint] = partner[:, source, joint]
    return out


def mix_masks(frames, plan, layout):
    pasted, replaced = np.zeros((2, math.ceil(frames / plan.cell), layout.num_joints))
    for i in range(len(pasted)):
        for joint in range(layout.num_joints):
            if plan.kind == 'mixup':
                pasted[i, joint] = replaced[i, joint] = plan.lam
            elif joint in chosen_joints(plan, layout):
                inside = plan.start <= i < plan.start + plan.length
                replaced[i, joint] = inside
                pasted[i, joint] = inside or plan.kind == 'resizemix'
    return pasted, replaced


def length(vector):
    return math.sqrt(sum(float(a) ** 2 for a in vector) + 1e-5)


def style_bone(clip, partner):
    out = clip.copy()
    for g, i, j, k in points(clip):
        own, other = clip[g:g + 3, i, j, k], partner[g:g + 3, i, j, k]
        out[g:g + 3, i, j, k] = own * length(other) / length(own)
    return out


def style_joint(clip, partner, layout):
    bones, out = style_bone(bone(clip, layout), bone(partner, layout)), clip.copy()
    for joint, parent in bone_root_first(layout):
        out[:, :, joint] = out[:, :, parent] + bones[:, :, joint]
    return out


def style_motion(clip, partner):
    out = np.zeros_like(clip)
    c, t, v, m = clip.shape
    for channel in range(c):
        for k in range(m):
            for i in range(t):
                own, other = np.mean(clip[channel, i, :, k]), np.mean(partner[channel, i, :, k])
                for j in range(v):
                    spread, wanted = (np.std(one[channel, :, j, k], ddof=1) for one in (clip, partner))
                    out[channel, i, j, k] = (clip[channel, i, j, k] - own) / (spread + 1e-3) * wanted + other
    return out


def upsample(mask, frames, joints):
    """(T', V') -> (T, V), bilinear with aligned corners."""
    out = np.zeros((frames, joints))
    for i in range(frames):
        for j in range(joints):
            y = i * (mask.shape[0] - 1) / max(frames - 1, 1)
            x = j * (mask.shape[1] - 1) / max(joints - 1, 1)
            for a in range(mask.shape[0]):
                for b in range(mask.shape[1]):
                    out[i, j] += max(0, 1 - abs(y - a)) * max(0, 1 - abs(x - b)) * mask[a, b]
    return out
