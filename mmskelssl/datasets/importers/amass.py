"""AMASS: SMPL pose parameters ``poses`` (T, 156) and ``trans``. A body model gives the joints."""
import os.path as osp
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, name_classes, set_splits
from mmskelssl.datasets.importers.options import Jobs, LabelSource, SplitSeed, TestShare
from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.mocap.motion import check_rate, check_size, forward_kinematics, resample
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.npz import read_npz

MAX_BYTES = 1 << 28  # of the arrays of a file; converted to float64 they take up to eight times as much
BODY = 22  # body joints shared by SMPL, SMPL-H and SMPL-X
# Rotates AMASS's z-up coordinates to y up.
UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
Model = Annotated[str | None, (
    'SMPL, SMPL-H or SMPL-X body model, .npz, from its authors (smpl.is.tue.mpg.de): its file defines the joints')]


def import_amass(path: str, writer: StoreWriter, *, model: Model = None,
                 fps: Annotated[float, 'Frames per second to resample to; 0 keeps those of the files'] = 30.,
                 labels: LabelSource = 'auto', test_share: TestShare = None, seed: SplitSeed = 0, jobs: Jobs = None
                 ) -> None:
    """Folder or zip of AMASS's .npz files of pose parameters: 22 joints of the body, metres, y up.

    The parameters are rotations. Joint positions need the body model, which cannot be distributed here: register with
    its authors and pass its file with --model.
    """
    check_share(test_share)
    if not 0 <= fps <= 1000:
        raise UserError(f'--fps {fps:g} is outside 0..1000')
    if model is None:
        raise UserError(f'{path}: AMASS contains rotations, and the body model computes the joints: download SMPL-H '
                        '(mano.is.tue.mpg.de) or SMPL-X (smpl-x.is.tue.mpg.de) and give --model MODEL.npz')
    _model(model)  # reports faults of the model once
    source = Source(path)
    files = [name for name in source.files('.npz') if PurePosixPath(name).stem != 'shape'
             and osp.realpath(osp.join(source.path, name)) != osp.realpath(model)]
    if not files:
        raise UserError(f'{path}: no .npz files in it')
    about = Labels(source, files, labels)
    writer.index['classes'] = about.classes
    writer.describe('smpl22')
    import_files(source, files, _Motions(model, fps, about), writer, jobs)
    about.report_lost(writer)
    name_classes(writer)
    set_splits(writer, test_share, seed)


class _Motions:
    """Reads the motion of a file as a sample."""

    def __init__(self, model: str, fps: float, about: Labels):
        self.model, self.fps, self.about = model, fps, about

    def __call__(self, name: str, data: bytes) -> list[dict]:
        arrays = read_npz(data, ('poses', 'trans', 'betas', 'mocap_framerate', 'mocap_frame_rate'), MAX_BYTES)
        if 'poses' not in arrays or 'trans' not in arrays:
            raise ValueError('not an AMASS file: it needs poses and trans')
        check_size(BODY, len(arrays['poses']))
        positions = joints_of(arrays['poses'], arrays['trans'], arrays.get('betas', np.zeros(0)), *_model(self.model))
        rate = arrays.get('mocap_framerate', arrays.get('mocap_frame_rate'))
        if rate is not None and self.fps:
            positions = resample(positions, _rate(rate), self.fps)
        known = self.about.of(name)
        notes = [known.pop('note', ''), 'its frame rate is unknown, so all frames are kept' if self.fps and rate is None
                 else '']
        return [dict(name=self.about.names[name], keypoints=positions[None], note='; '.join(filter(None, notes)))
                | known]


def _rate(rate: np.ndarray) -> float:
    if rate.size != 1 or rate.dtype.kind not in 'fiu':
        raise ValueError(f'its frame rate is an array of {rate.dtype} and shape {rate.shape}, not a number')
    return check_rate(float(rate.item()))


def joints_of(poses: np.ndarray, trans: np.ndarray, betas: np.ndarray, template: np.ndarray, shapes: np.ndarray,
              parents: np.ndarray) -> np.ndarray:
    """(T, 22, 3) metres, y up.

    Args:
        poses: (T, 3 * J) axis angles, with J >= 22.
        trans: (T, 3) of the root.
        betas: Shape. Values beyond those of the model are ignored.
        template, shapes, parents: Of :func:`_model`.
    """
    poses, trans = np.asarray(poses, np.float64), np.asarray(trans, np.float64)
    if poses.ndim != 2 or not len(poses) or poses.shape[1] < 3 * BODY or trans.shape != (len(poses), 3):
        raise ValueError(f'poses {poses.shape} and trans {trans.shape}, expected (T, at least 66) and (T, 3)')
    if betas.ndim != 1:
        raise ValueError(f'betas have shape {betas.shape}, expected one list of numbers')
    if not np.isfinite(poses).all():
        raise ValueError('a rotation is NaN or Inf')
    count = min(len(betas), shapes.shape[2])
    rest = template + shapes[:, :, :count] @ np.asarray(betas[:count], np.float64)
    offsets = rest - rest[parents]
    from scipy.spatial.transform import Rotation  # imported here: it takes half a second
    turns = [Rotation.from_rotvec(poses[:, 3 * joint:3 * joint + 3]).as_matrix() for joint in range(BODY)]
    return forward_kinematics(parents.tolist(), turns, offsets, rest[0] + trans, own=False) @ UP.T


@lru_cache(maxsize=1)
def _model(file: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return joints (22, 3) of the average body, their shape derivatives (22, 3, B), and parents (22,)."""
    try:
        arrays = read_npz(Source(file).read('.'), ('v_template', 'shapedirs', 'J_regressor', 'kintree_table'),
                          MAX_BYTES)
        regressor = np.asarray(arrays['J_regressor'], np.float64)[:BODY]
        template = regressor @ np.asarray(arrays['v_template'], np.float64)
        shapes = np.einsum('jv,vcb->jcb', regressor, np.asarray(arrays['shapedirs'], np.float64))
        parents = np.asarray(arrays['kintree_table'])[0, :BODY].astype(np.int64)
        if template.shape != (BODY, 3) or not all(0 <= p < j for j, p in enumerate(parents.tolist()) if j):
            raise ValueError(f'{len(template)} joints, or parents after their children')
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f'{file}: not a body model; it needs v_template, shapedirs, J_regressor and kintree_table '
                        f'({type(error).__name__}: {error})') from None
    parents[0] = 0
    return template, shapes, parents
