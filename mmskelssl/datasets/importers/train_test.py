"""The npz files of CTR-GCN and its successors, such as NTU60_CS.npz, which have up to 20 GB: read clip by clip."""
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO

import numpy as np

from mmskelssl.datasets.importers.axes import drop_padding
from mmskelssl.datasets.importers.source import stem
from mmskelssl.npz import MAX_CLIPS, MAX_UNPACKED, loaded

PARTS = ('train', 'val', 'test')
MAX_CLIP = 1 << 26  # bytes of a clip
_PROTOCOLS = dict(cs='xsub_', csub='xsub_', xsub='xsub_', cv='xview_', xview='xview_', cset='xset_', xset='xset_')


def is_train_test(file: str | io.BytesIO) -> bool:
    """Return whether an npz file, or the one at a path, has an array ``x_train``, ``x_val`` or ``x_test``."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(re.fullmatch(r'x_(train|val|test)\.npy', name) for name in archive.namelist())
    except Exception:  # the directory of a damaged zip raises errors of several kinds; its import reports them
        return False


class TrainTest:
    """Clips of ``x_train`` (N, T, M * V * 3), zero-padded, with ``y_train``, one-hot (N, classes) or labels (N,).

    Memory holds one clip at a time and the labels. Clips of ``val`` and ``test`` form the test split. The last part of
    the file's name tells the protocol: CS, CV or CSet.

    Args:
        file: The npz file, or its path.
        name: Name of the file.
        joints: Number of joints of the layout, V.

    Raises:
        ValueError: The arrays do not have these shapes.
    """

    def __init__(self, file: str | io.BytesIO, name: str, joints: int):
        self.file, self.joints = file, joints
        self.prefix = _PROTOCOLS.get(stem(name).lower().rsplit('_', 1)[-1], '')
        with self._open() as archive:
            names = archive.namelist()
            self.parts = [part for part in PARTS if f'x_{part}.npy' in names]
            self.shapes = {part: self._shape(archive, f'x_{part}') for part in self.parts}
            self.labels = {part: self._labels(archive, part) if f'y_{part}.npy' in names else None
                           for part in self.parts}

    def __len__(self) -> int:
        return sum(shape[0] for shape in self.shapes.values())

    def start(self) -> list[tuple[str, np.ndarray, dict]]:
        """Return the first clips."""
        return [*islice(self, 16)]

    def __iter__(self) -> Iterator[tuple[str, np.ndarray, dict]]:
        """Yield (name, clip (M, T, V, 3), known facts)."""
        with self._open() as archive:
            for part in self.parts:
                labels, split = self.labels[part], self.prefix + dict(val='test').get(part, part)
                for i, clip in enumerate(self._rows(archive, f'x_{part}')):
                    keypoints = clip.reshape(len(clip), -1, self.joints, 3).swapaxes(0, 1)
                    about = dict(label=None if labels is None else labels[i], split=split)
                    yield f'{part}_{i:06d}', drop_padding(keypoints), about

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.file)
        except ValueError:
            raise
        except Exception as error:  # a damaged directory raises errors of several kinds
            raise ValueError(f'it cannot be read ({error})') from error

    def _rows(self, archive: zipfile.ZipFile, key: str) -> Iterator[np.ndarray]:
        with _opened(archive, key) as file:
            shape, dtype = self._header(file, key, archive.getinfo(f'{key}.npy').file_size)
            size = shape[1] * shape[2] * dtype.itemsize
            for _ in range(shape[0]):
                data = file.read(size)
                if len(data) < size:
                    raise ValueError(f'{key} ends early')
                yield np.frombuffer(data, dtype).reshape(shape[1:])

    def _shape(self, archive: zipfile.ZipFile, key: str) -> tuple[int, ...]:
        with _opened(archive, key) as file:
            return self._header(file, key, archive.getinfo(f'{key}.npy').file_size)[0]

    def _header(self, file: IO[bytes], key: str, held: int) -> tuple[tuple[int, ...], np.dtype]:
        """Read the shape and the type of an array of clips that takes ``held`` bytes, and check them."""
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.kind not in 'fiu' or fortran:
            raise ValueError(f'{key} is an array of {dtype}{" in Fortran order" if fortran else ""}; expected numbers '
                             'in C order')
        if len(shape) != 3 or not shape[2] or shape[2] % (3 * self.joints):
            raise ValueError(f'{key} has shape {shape}, expected (N, T, persons * {self.joints} joints * 3)')
        if shape[0] > MAX_CLIPS:
            raise ValueError(f'{shape[0]} clips; at most {MAX_CLIPS} are read from one file')
        size = shape[1] * shape[2] * dtype.itemsize
        if size > MAX_CLIP or shape[0] * size != held - file.tell():
            raise ValueError(f'{key} of shape {shape} does not fit the {held} bytes that hold it')
        return shape, dtype

    def _labels(self, archive: zipfile.ZipFile, part: str) -> list[int]:
        size, count = archive.getinfo(f'y_{part}.npy').file_size, self.shapes[part][0]
        if size > MAX_UNPACKED:
            raise ValueError(f'y_{part} would unpack to {size >> 20} MiB')
        with _opened(archive, f'y_{part}') as file:
            content = file.read(size)
        labels = loaded(lambda: np.load(io.BytesIO(content), allow_pickle=False), f'y_{part}')
        if labels.ndim not in (1, 2) or len(labels) != count:
            raise ValueError(f'x_{part} has {count} clips, y_{part} shape {labels.shape}')
        if labels.ndim == 2:
            if not ((labels == 1).sum(1) == 1).all():
                raise ValueError(f'y_{part} is not one-hot')
            labels = labels.argmax(1)
        if labels.dtype.kind not in 'iuf' or not np.isfinite(labels).all() or (labels % 1).any():
            raise ValueError(f'y_{part}: its labels are not integers')
        return [int(label) for label in labels.tolist()]


@contextmanager
def _opened(archive: zipfile.ZipFile, key: str) -> Iterator[IO[bytes]]:
    """Open an array of an archive. Whatever a damaged zip or header raises becomes a ValueError."""
    try:
        with archive.open(f'{key}.npy') as file:
            yield file
    except ValueError:
        raise
    except Exception as error:  # zip, zlib, lzma and NumPy's parser of headers raise errors of their own
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ValueError(f'{key} is damaged ({reason})') from error
