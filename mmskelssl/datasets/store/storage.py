"""How a store keeps the coordinates of its frames: as float32, float16, or int16 millimetres."""
import numpy as np

from mmskelssl.errors import UserError

# storage -> type on disk, and the largest coordinate that it can hold
STORAGE: dict[str, tuple[np.dtype, float]] = {
    'float32': (np.dtype('<f4'), np.inf), 'float16': (np.dtype('<f2'), 65504.), 'int16': (np.dtype('<i2'), 32.767)}
_STEPS = np.float32(1000)  # int16: a number is a millimetre


def check_storage(where: str, storage: str, units: str) -> None:
    """Raise a UserError for an unknown storage, or millimetres of coordinates that are not metres."""
    if storage not in STORAGE:
        raise UserError(f'{where}: storage {storage!r}, expected {", ".join(STORAGE)}')
    if storage == 'int16' and units != 'm':
        raise UserError(f'{where}: storage int16 keeps millimetres, so it needs coordinates in m, not in '
                        f'{units or "unknown units"}: choose float16 or float32')


def check_range(name: str, keypoints: np.ndarray, storage: str) -> None:
    """Raise a UserError if a coordinate of the sample ``name`` is beyond what the storage holds."""
    most = STORAGE[storage][1]
    if most < np.inf and (found := float(np.abs(keypoints).max())) > most:
        raise UserError(f'sample {name}: a coordinate of {found:g} is beyond the {most:g} that storage {storage} can '
                        'hold: import with --storage float32, or correct the units')


def encode(keypoints: np.ndarray, storage: str) -> np.ndarray:
    """Return coordinates (float32, within the range) as they are stored."""
    dtype = STORAGE[storage][0]
    if storage == 'int16':
        keypoints = np.rint(keypoints.astype(np.float64) * 1000)
    return keypoints.astype(dtype, copy=False)


def decode(stored: np.ndarray, storage: str) -> np.ndarray:
    """Return stored coordinates as float32: the same array for float32, otherwise a copy."""
    if storage == 'int16':
        return np.divide(stored, _STEPS, dtype=np.float32)
    return stored if storage == 'float32' else stored.astype(np.float32)


def largest_error(keypoints: np.ndarray, storage: str) -> float:
    """Return the largest difference between coordinates and what is read from their stored form."""
    return float(np.abs(keypoints - decode(encode(keypoints, storage), storage)).max(initial=0))


def said(storage: str, error: float, units: str) -> str:
    """Return the line about the largest error, for the output of an import."""
    return f'storage {storage}: coordinates differ from the source by up to {error:.3g} {units}'
