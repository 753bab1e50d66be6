"""The normalisation of 3D skeletons at the start of pyskl's recipes."""
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS

_AXES = {'x': (1., 0., 0.), 'y': (0., 1., 0.), 'z': (0., 0., 1.)}


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the (3, 3) matrix of the shortest rotation from one direction to another (Rodrigues' formula).

    The result is the identity if ``source`` is shorter than 1e-6, or if the directions are parallel or opposite.
    """
    length = np.sqrt(source @ source)
    if length < 1e-6:
        return np.eye(3)
    (a, b, c), (p, q, r) = (source / length).tolist(), target.tolist()
    axis = b * r - c * q, c * p - a * r, a * q - b * p
    x, y, z = axis
    cos, square = a * p + b * q + c * r, x * x + y * y + z * z
    if square < 1e-12:
        return np.eye(3)
    k = (1 - cos) / square
    return np.array([[cos + k * x * x, k * x * y - z, k * x * z + y],
                     [k * x * y + z, cos + k * y * y, k * y * z - x],
                     [k * x * z - y, k * y * z + x, cos + k * z * z]])


def rotations_between(source: Tensor, target: Tensor) -> Tensor:
    """Return the matrices (N, 3, 3) of :func:`rotation_between` for directions (N, 3) and one target (3,)."""
    length = source.square().sum(1, keepdim=True).sqrt()
    unit = source / length.clamp(min=1e-6)
    axis = torch.linalg.cross(unit, target.expand_as(unit))
    cos, square = (unit * target).sum(1), axis.square().sum(1)
    turned = (length[:, 0] >= 1e-6) & (square >= 1e-12)
    k = (1 - cos) / square.clamp(min=1e-12)
    x, y, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    across = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    identity = torch.eye(3, dtype=source.dtype, device=source.device)
    made = cos[:, None, None] * identity + k[:, None, None] * axis[:, :, None] * axis[:, None] + across
    return torch.where(turned[:, None, None], made, identity)


@TRANSFORMS.register_module()
class PreNormalize3D(BaseTransform):
    """Drop empty frames, centre the first body, rotate its spine upright and align its shoulders with the x axis.

    One rigid motion, computed from the first frame, is applied to the whole clip. If there are two persons, the one
    visible in more frames comes first, and only frames with that person are kept. A joint at the origin counts as
    missing and stays there. If there are scores, the first frame in which all joints that decide the motion have a
    positive score replaces the first frame. This is pyskl's transform of the same name (Duan et al., ACM MM 2022),
    except that the default up axis is y and pyskl's is z.

    Required keys: keypoint, of one or two persons. Optional: scores. Modified: keypoint, scores, total_frames. Added:
    num_frames, body_center.

    Args:
        centre: Joint to move to the origin.
        spine: (bottom, top) joints. The defaults fit NTU RGB+D; set them for other layouts.
        shoulders: (right, left) joints. Default: the shoulders of the layout.
        up: Axis that the spine is aligned with. The augmentations expect y; ``z`` reproduces pyskl's result.
        align_centre: Whether to move the body.
        align_spine: Whether to rotate the body.
    """

    def __init__(self, centre: int = 1, spine: tuple[int, int] = (0, 1), shoulders: tuple[int, int] | None = None,
                 up: str = 'y', align_centre: bool = True, align_spine: bool = True):
        if up not in ('y', 'z'):
            raise UserError(f"PreNormalize3D: up must be 'y' or 'z', not {up!r}")
        self.centre, self.spine, self.shoulders = centre, tuple(spine), shoulders
        self.up, self.x = np.array(_AXES[up]), np.array(_AXES['x'])
        self.align_centre, self.align_spine = align_centre, align_spine

    def transform(self, results: dict) -> dict:
        keypoint, name = results['keypoint'], results.get('frame_dir')
        if keypoint.ndim != 4 or keypoint.shape[0] > 2 or keypoint.shape[-1] != 3:
            raise UserError(f'sample {name}: PreNormalize3D needs one or two persons in 3D, (M, T, V, 3), not '
                            f'{keypoint.shape}; add SelectPersons before it')
        joints = [self.centre, *self.spine, *(self.shoulders or results['layout'].shoulders)]
        if max(joints) >= keypoint.shape[2]:
            raise UserError(f'sample {name}: PreNormalize3D uses joint {max(joints)} of {keypoint.shape[2]}; '
                            'set centre, spine and shoulders for this layout')
        there = (np.abs(keypoint) > 1e-8).any((2, 3))  # (M, T)
        if not there.any():
            raise UserError(f'sample {name}: every coordinate is zero, there is no body in it')
        main = int(there.sum(1).argmax())
        if main or not there[main].all():
            keypoint = keypoint[::-1 if main else 1, there[main]]
            if 'scores' in results:
                results['scores'] = results['scores'][::-1 if main else 1, there[main]]
        known = (results['scores'][0][:, joints] > 0).all(1) if 'scores' in results else [True]
        first = keypoint[0, int(np.argmax(known))].astype(np.float64)
        centre = first[self.centre].copy() if self.align_centre else np.zeros(3)
        matrix = self._rotation(first - centre * (first != 0).any(1, keepdims=True), results) if self.align_spine \
            else np.eye(3)
        seen = (keypoint != 0).any(3, keepdims=True)
        moved = keypoint - centre.astype(keypoint.dtype)
        if not seen.all():
            moved *= seen
        results['keypoint'] = moved @ matrix.T.astype(keypoint.dtype)
        results['total_frames'] = results['num_frames'] = keypoint.shape[1]
        results['body_center'] = centre
        return results

    def _rotation(self, body: np.ndarray, results: dict) -> np.ndarray:
        bottom, top = self.spine
        right, left = self.shoulders or results['layout'].shoulders[::-1]
        upright = rotation_between(body[top] - body[bottom], self.up)
        return rotation_between(upright @ (body[right] - body[left]), self.x) @ upright

    def batch(self, clips: ClipBatch) -> ClipBatch:
        x, scores = clips.x, clips.scores
        right, left = self.shoulders or clips.layout.shoulders[::-1]
        joints = [self.centre, *self.spine, right, left]
        if x.shape[1] != 3 or x.shape[4] > 2 or max(joints) >= x.shape[3]:
            raise UserError('PreNormalize3D needs clips of one or two persons in 3D with the joints '
                            f'{", ".join(map(str, joints))}, not {tuple(x.shape)}')
        there = (x.abs() > 1e-8).any(3).any(1)  # (N, T, M)
        count = there.sum(1)
        second = (count[:, -1] > count[:, 0]).view(-1, 1, 1, 1, 1)
        kept = torch.where(second[:, :, 0, 0, 0], there[..., -1], there[..., 0])  # (N, T)
        lengths = kept.sum(1)
        order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
        clip, frames = torch.arange(len(x), device=x.device)[:, None], torch.arange(x.shape[2], device=x.device)
        inside = (frames < lengths[:, None])[:, None, :, None, None]

        def rearranged(values: Tensor) -> Tensor:
            values = torch.where(second, values.flip(4), values)
            return values.transpose(1, 2)[clip, order].transpose(1, 2) * inside

        x = rearranged(x)
        scores = None if scores is None else rearranged(scores)
        first = torch.zeros_like(lengths)
        if scores is not None:
            known = torch.stack([scores[:, 0, :, joint, 0] > 0 for joint in joints], 2).all(2)
            first = known.to(torch.uint8).argmax(1)
        body = x[clip[:, 0], :, first, :, 0].double()  # (N, C, V)
        centre = body[:, :, self.centre, None] if self.align_centre else torch.zeros_like(body[:, :, :1])
        x = (x - centre[..., None, None].to(x.dtype)) * (x != 0).any(1, keepdim=True)
        if self.align_spine:
            body = body - centre * (body != 0).any(1, keepdim=True)
            bottom, top = self.spine
            upright = rotations_between(body[:, :, top] - body[:, :, bottom], self._axis(self.up, body))
            across = (upright @ (body[:, :, right] - body[:, :, left])[..., None])[..., 0]
            matrix = rotations_between(across, self._axis(self.x, body)) @ upright
            x = torch.einsum('nij,njtvm->nitvm', matrix.to(x.dtype), x)
        return clips.having(x=x, scores=scores, lengths=lengths, num_frames=lengths).refusing(lengths == 0)

    @staticmethod
    def _axis(axis: np.ndarray, like: Tensor) -> Tensor:
        """Return an axis on the device of ``like``, without copying it there for each batch."""
        return (torch.arange(3, device=like.device) == int(axis.argmax())).to(like.dtype)
