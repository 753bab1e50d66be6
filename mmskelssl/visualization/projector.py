"""Write features for TensorBoard's projector, with a small picture of each clip."""
import math
import os
import os.path as osp
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import torch

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.visualization.skeleton import View, grows_up, picture

LARGEST, SMALLEST = 96, 12  # side of a picture in pixels
_SHEET = 8192  # side of the sheet of all pictures, which the projector limits
_MEMORY = 1 << 28  # bytes that the library takes for the pictures, as float32


def write_projector(folder: str, features: np.ndarray, about: Mapping[str, Sequence], read: Callable[[int], np.ndarray],
                    layout: SkeletonLayout) -> int:
    """Write a folder for ``tensorboard --logdir``.

    Args:
        folder: Folder to create.
        features: (N, D) float32.
        about: Columns of N values each, shown for a point, such as its id and its class.
        read: Maps a row to its clip (M, T, V, C).
        layout: Layout of the clips.

    Returns:
        Side of the pictures in pixels; 0 if there are too many clips for pictures.

    Raises:
        UserError: If the folder already has a projector, or cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter
    check_new(folder)
    side = picture_side(len(features))
    pictures = torch.from_numpy(draw_pictures(read, len(features), layout, side)) if side else None
    rows = [list(map(str, row)) for row in zip(*about.values(), strict=True)]
    try:
        os.makedirs(folder, exist_ok=True)
        with SummaryWriter(folder) as writer:
            writer.add_embedding(torch.from_numpy(features), rows, pictures, tag='features',
                                 metadata_header=list(about))
    except OSError as error:
        raise UserError(f'{folder} cannot be written: {error.strerror or error}; choose another folder') from error
    return side


def check_new(folder: str) -> None:
    """Refuse a folder that already has a projector, because its files would be mixed with the new ones."""
    if osp.exists(osp.join(folder, 'projector_config.pbtxt')):
        raise UserError(f'{folder} already holds embeddings: choose another folder for --tensorboard')


def picture_side(count: int) -> int:
    """Return the side of a picture for a number of clips; 0 if pictures would be too small."""
    side = min(LARGEST, _SHEET // math.ceil(math.sqrt(count)), math.isqrt(_MEMORY // (12 * count)))
    return side if side >= SMALLEST else 0


def draw_pictures(read: Callable[[int], np.ndarray], count: int, layout: SkeletonLayout, side: int) -> np.ndarray:
    """Draw the frame in the middle of each clip: (N, 3, side, side) float32 RGB in [0, 1]."""
    pictures = np.empty((count, 3, side, side), np.float32)
    y_up = grows_up((np.asarray(read(i)) for i in range(min(count, 32))), layout)
    for i in range(count):
        clip = np.asarray(read(i))
        there = np.flatnonzero(clip.any((0, 2, 3)))
        middle = int(there[len(there) // 2]) if len(there) else 0
        image = picture(View(clip[:, middle:middle + 1], 2 * LARGEST, 2 * LARGEST, (0., 0.), y_up), 0, layout)
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        pictures[i] = image[:, :, ::-1].transpose(2, 0, 1) / np.float32(255)
    return pictures
