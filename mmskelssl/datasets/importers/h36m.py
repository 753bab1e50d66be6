"""Human3.6M as VideoPose3D keeps it: ``data_3d_h36m.npz`` and ``data_2d_h36m_*.npz``, pickled dicts of arrays."""
import io
import re
import zipfile
from collections.abc import Iterator

import numpy as np

from mmskelssl.datasets.importers.import_files import add_or_skip
from mmskelssl.datasets.importers.restricted_pickle import load_container
from mmskelssl.datasets.importers.source import MAX_BYTES, Source
from mmskelssl.datasets.mocap.motion import check_size
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

# The joints that move among Human3.6M's 32: layout h36m17.
MOVING = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
TRAINING, TEST = (1, 5, 6, 7, 8), (9, 11)
MEMBERS = ('positions_3d', 'positions_2d')


def import_h36m(path: str, writer: StoreWriter) -> None:
    """Human3.6M as VideoPose3D keeps it, data_3d_h36m.npz or data_2d_h36m_*.npz; splits xsub.

    3D positions are in metres and rotated to y up. Of the 32 joints, the 17 that move are kept. 2D positions are in
    pixels, with one clip per camera. Classes are the actions without their number. Subjects 1, 5, 6, 7 and 8 train, 9
    and 11 test. Others are in no split.
    """
    source = Source(path)
    files = source.files('.npz')
    if len(files) != 1:
        raise UserError(f'{path}: {len(files)} .npz files; name one of them, such as data_3d_h36m.npz')
    try:
        member, content, layout = _read(source.read(files[0]))
        clips = list(_clips(content))
    except ValueError as error:
        raise UserError(f'{path}: {error}') from None
    flat = member == 'positions_2d'
    if flat:
        writer.describe(layout, 2, 'px', third='none')
    else:
        writer.describe('h36m17', 3, 'm', third='depth')
    classes = sorted({_action(action) for _, action, _, _ in clips})
    writer.index['classes'] = classes
    for subject, action, camera, array in clips:
        name, reason = f'{subject}/{action}' + (f'/{camera}' if flat else ''), ''
        keypoints = np.zeros(0)
        try:
            keypoints = _keypoints(array, flat)
        except ValueError as error:
            reason = str(error)
        number = re.fullmatch(r'S(\d{1,4})', subject)
        about: dict = dict(subject=int(number[1])) if number else {}
        if flat:
            about['camera'] = camera
        add_or_skip(writer, name, reason=reason, keypoints=keypoints, label=classes.index(_action(action)), **about)
    for split, subjects in (('train', TRAINING), ('test', TEST)):
        writer.set_split(f'xsub_{split}', [s['id'] for s in writer.samples if s['subject'] in subjects])


def _read(data: bytes) -> tuple[str, object, str]:
    """Return the name of the member, its content, and the layout of 2D joints."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ValueError('it would unpack to more than the allowed size')
            members = [name.removesuffix('.npy') for name in archive.namelist()]
            member = next((name for name in MEMBERS if name in members), None)
            if member is None:
                raise ValueError(f'no {" or ".join(MEMBERS)} in it; it holds {", ".join(members)[:100] or "nothing"}')
            content = load_container(archive.read(f'{member}.npy'))
            about = load_container(archive.read('metadata.npy')) if 'metadata' in members else {}
    except ValueError:
        raise
    except Exception as error:  # zip, zlib and lzma raise errors of their own
        raise ValueError(f'not an .npz file ({" ".join(str(error).split()) or type(error).__name__})') from error
    coco = isinstance(about, dict) and about.get('layout_name') == 'coco'
    return member, content, 'coco17' if coco else 'h36m17'


def _clips(content) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Return (subject, action, camera, array) from a dict subject -> action -> array or list of arrays by camera."""
    if not isinstance(content, dict) or not content or not all(isinstance(part, dict) for part in content.values()):
        raise ValueError('it does not contain a dict of subjects, each a dict of actions')
    for subject, actions in content.items():
        for action, value in actions.items():
            arrays = value if isinstance(value, list | tuple) else [value]
            if not all(isinstance(array, np.ndarray) for array in arrays):
                raise ValueError(f'{str(subject)[:40]!r}, {str(action)[:40]!r}: neither an array nor a list of arrays')
            for camera, array in enumerate(arrays):
                yield str(subject), str(action), camera, array


def _action(action: str) -> str:
    """Remove the number: ``Walking 1`` becomes ``Walking``."""
    return re.sub(r'\s+\d+$', '', action)


def _keypoints(array: np.ndarray, flat: bool) -> np.ndarray:
    """Return (1, T, 17, C)."""
    shapes = [(17, 2)] if flat else [(17, 3), (32, 3)]
    if array.dtype.kind not in 'fiu' or array.ndim != 3 or array.shape[1:] not in shapes:
        raise ValueError(f'an array of {array.dtype} and shape {array.shape}, expected (T, '
                         f'{"17, 2" if flat else "32, 3"})')
    check_size(array.shape[1], len(array))
    points = array.astype(np.float64)
    if flat:
        return points[None]
    points = points[:, MOVING] if points.shape[1] == 32 else points
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)[None]  # the file's z is up
