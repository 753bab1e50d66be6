"""The normalisation of 3D skeletons that pyskl's recipes begin with."""
import numpy as np
from mmcv.transforms import BaseTransform

from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS

_AXES = {'x': (1., 0., 0.), 'y': (0., 1., 0.), 'z': (0., 0., 1.)}


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) matrix of the shortest rotation from one direction to another (Rodrigues).

    Identity where it is not defined: a vector shorter than 1e-6, or directions that are parallel or opposite.
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


@TRANSFORMS.register_module()
class PreNormalize3D(BaseTransform):
    """Drop empty frames, move the first body's middle to the origin, and turn its spine upright, its shoulders to x.

    One rigid motion serves the whole clip, taken from its first frame. Of two persons the one who is there in more
    frames comes first, and only frames with that person remain. A joint at the origin counts as not seen and stays
    there. As pyskl's transform of this name (Duan et al., ACM MM 2022), but for what is up: its z, our y.

    Required keys: keypoint, of one or two persons. Modified: keypoint, total_frames. Added: num_frames, body_center.

    Args:
        centre: Joint that goes to the origin.
        spine: (bottom, top) joints. These defaults are NTU RGB+D's; name those of another layout.
        shoulders: (right, left) joints; default the layout's.
        up: Axis along which the spine is turned. The augmentations take y; with ``z`` the result is pyskl's.
        align_centre: Move the body.
        align_spine: Turn it.
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
                            f'{keypoint.shape}; put SelectPersons before it')
        joints = [self.centre, *self.spine, *(self.shoulders or results['layout'].shoulders)]
        if max(joints) >= keypoint.shape[2]:
            raise UserError(f'sample {name}: PreNormalize3D asks for joint {max(joints)} of {keypoint.shape[2]}; '
                            'give it the centre, spine and shoulders of this layout')
        there = (np.abs(keypoint) > 1e-8).any((2, 3))  # (M, T)
        if not there.any():
            raise UserError(f'sample {name}: every coordinate is zero, there is no body in it')
        main = int(there.sum(1).argmax())
        if main or not there[main].all():
            keypoint = keypoint[::-1 if main else 1, there[main]]
        first = keypoint[0, 0].astype(np.float64)
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
