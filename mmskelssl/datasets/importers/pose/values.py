"""What the readers of all families share: JSON, numbers, lists of frames."""
import json

import numpy as np

from mmskelssl.datasets.importers.source import text_of

MAX_BYTES, MAX_FRAMES = 64 << 20, 100_000


def parse(data: bytes):
    if len(data) > MAX_BYTES:
        raise ValueError(f'it has {len(data) >> 20} MiB')
    try:
        return json.loads(text_of(data))
    except RecursionError:
        raise ValueError('nested too deeply') from None
    except json.JSONDecodeError as error:
        raise ValueError(f'no JSON: {error}') from None


def numbers(values, what: str) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'{what}: not numbers, or rows of different lengths') from None
    if not (np.abs(array) < 1e9).all():
        raise ValueError(f'{what}: NaN, Inf or a number beyond all pictures')
    return array


def frame_list(data, *keys: str) -> list:
    if isinstance(data, dict):
        data = next((data[key] for key in keys if key in data), None)
    if not isinstance(data, list) or not 0 < len(data) <= MAX_FRAMES:
        raise ValueError(f'no list of 1 to {MAX_FRAMES} frames, nor one under {" or ".join(keys)}')
    return data


def stack(people: list[np.ndarray], joints: int) -> np.ndarray:
    """(P,V,3) with unseen joints (score 0 or less) at zero."""
    people = np.stack(people) if people else np.zeros((0, joints, 3))
    return np.where(people[..., 2:] > 0, people, 0)


def plain(values: list) -> bool:
    return all(isinstance(value, int | float) for value in values)
