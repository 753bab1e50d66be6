"""The skeleton as a tree: conversion between joints and bones."""
import torch
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.ops.constants import constant
from mmskelssl.ops.precision import without_autocast
from mmskelssl.tracing import exporting


def check_joints(x: Tensor, layout: SkeletonLayout) -> None:
    """Raise unless ``x`` (N, C, T, V, M) has as many joints as the layout."""
    if x.shape[3] != layout.num_joints:
        raise UserError(f'clips have {x.shape[3]} joints, but layout {layout.name} has {layout.num_joints}: '
                        'set the layout that the data were prepared with')


@constant
def _columns(joints: tuple[int, ...], persons: int, device: torch.device) -> Tensor:
    joint = torch.tensor(joints, device=device)
    return (joint[:, None] * persons + torch.arange(persons, device=device)).flatten()


def take_joints(x: Tensor, joints: list[int] | tuple[int, ...]) -> Tensor:
    """Select joints of (N, C, T, V, M) by index.

    Selecting columns of flat (V*M) rows is ten times faster than selecting along axis 3.
    """
    if exporting():  # any number of persons
        return x[:, :, :, list(joints)]
    *outer, v, m = x.shape
    columns = _columns(tuple(joints), m, x.device)
    return x.reshape(-1, v * m).index_select(1, columns).view(*outer, len(joints), m)


def part_members(layout: SkeletonLayout, device: torch.device) -> Tensor:
    """Return a bool matrix (parts, V) of the joints of each body part, in the order of ``layout.parts``."""
    return _members(tuple(map(tuple, layout.parts.values())), layout.num_joints, device)


@constant
def _members(parts: tuple[tuple[int, ...], ...], joints: int, device: torch.device) -> Tensor:
    return torch.tensor([[joint in part for joint in range(joints)] for part in parts], dtype=torch.bool, device=device)


def scale_joints(x: Tensor, factors: Tensor) -> Tensor:
    """Multiply joints of (N, C, T, V, M) by factors (N, V) in all frames, channels and persons."""
    n, c, t, v, m = x.shape
    # Use flat rows here as well: broadcasting with the persons as the innermost axis is ten times slower.
    return (x.reshape(n, c, t, v * m) * factors.repeat_interleave(m, dim=1).view(n, 1, 1, v * m)).view(x.shape)


def to_bones(x: Tensor, layout: SkeletonLayout) -> Tensor:
    """Subtract its parent from each joint of (N, C, T, V, M) and set the root to 0. Source: docs/methods.md 0.2."""
    check_joints(x, layout)
    return x - take_joints(x, layout.parents)


def _per_person(matrix: Tensor, persons: int) -> Tensor:
    return torch.kron(matrix, torch.eye(persons, dtype=matrix.dtype))


@constant
def _difference(parents: tuple[int, ...], persons: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a (V*M, V*M) matrix that subtracts its parent from each joint and nothing from the root.

    It is applied to row vectors, as in ``rows @ matrix``.
    """
    unit = torch.eye(len(parents), dtype=dtype)
    root = torch.tensor([joint == parent for joint, parent in enumerate(parents)])
    return _per_person(unit - unit[list(parents)].T * ~root, persons).to(device)


@constant
def _summation(parents: tuple[int, ...], persons: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a (V*M, V*M) matrix that sums the root and the bones on the path to each joint.

    It is applied to row vectors, as in ``rows @ matrix``.
    """
    size = len(parents)
    path = torch.zeros(size, size, dtype=dtype)
    for joint in range(size):
        bone = joint
        path[bone, joint] = 1
        while bone != parents[bone]:
            bone = parents[bone]
            path[bone, joint] = 1
    return _per_person(path, persons).to(device)


def from_bones(bones: Tensor, root: Tensor, layout: SkeletonLayout) -> Tensor:
    """Rebuild the joints outwards from the root.

    Args:
        bones: (N, C, T, V, M), 0 at the root.
        root: (N, C, T, 1, M) position of the root.
        layout: Skeleton layout of the bones.
    """
    check_joints(bones, layout)
    *outer, v, m = bones.shape
    # Use one product with a constant matrix: stepping from joint to joint would take 24 strided copies.
    path = _summation(tuple(layout.parents), m, bones.device, bones.dtype)
    with without_autocast(bones):
        start = take_joints(root, [0] * v).view(-1, v * m)
        return torch.addmm(start, bones.reshape(-1, v * m), path).view(*outer, v, m)


def rescale_bones(x: Tensor, factors: Tensor, layout: SkeletonLayout) -> Tensor:
    """Multiply the bone that ends in each joint by its factor and rebuild the body from its root, which does not move.

    Args:
        x: (N, C, T, V, M).
        factors: (N, V). The factor of the root is ignored.
        layout: Skeleton layout of the clips.
    """
    check_joints(x, layout)
    n, c, t, v, m = x.shape
    key = (tuple(layout.parents), m, x.device, x.dtype)
    root = torch.arange(v, device=x.device) == layout.centre
    factors = torch.where(root, 1, factors).repeat_interleave(m, dim=1)
    # One matrix per sample combines differences, factors and sums. It takes a fifth of the time of separate steps.
    matrix = _difference(*key) @ (factors[:, :, None] * _summation(*key))
    return torch.bmm(x.reshape(n, c * t, v * m), matrix).view(x.shape)
