"""Write images and animations. Colours are BGR, as in OpenCV."""
import os
from collections.abc import Callable

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from mmskelssl.errors import UserError

SUFFIXES = ('.png', '.gif', '.mp4')


def check_suffix(out: str) -> str:
    """Return the suffix of a file to write, in lower case.

    Raises:
        UserError: If the suffix is not supported.
    """
    suffix = os.path.splitext(out)[1].lower()
    if suffix not in SUFFIXES:
        raise UserError(f'drawing: {out}: the suffix must be .png, .gif or .mp4')
    return suffix


def write_picture(image: np.ndarray, out: str | os.PathLike) -> None:
    """Write an image (H,W,3) uint8 and create its folder if necessary."""
    out = os.fspath(out)
    _make_folder(out)
    if not cv2.imwrite(out, image, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise UserError(f'drawing: {out} could not be written; is the suffix .png and the folder writable?')


def write_animation(draw: Callable[[int], np.ndarray], count: int, out: str, fps: float) -> None:
    """Write a ``.gif`` or ``.mp4`` of ``count`` images, drawn one after the other.

    Args:
        draw: Returns image 0 <= t < count, (H,W,3) uint8. All images must have the same size.
        count: Number of images.
        out: File to write. Its folder is created.
        fps: Frames per second. The delay between frames of a gif is rounded to hundredths of a second.
    """
    if fps <= 0:
        raise UserError(f'drawing: frames per second must be positive, got {fps}')
    _make_folder(out)
    if check_suffix(out) == '.gif':
        _write_gif(draw, count, out, fps)
        return
    height, width = draw(0).shape[:2]
    size = (width + width % 2, height + height % 2)  # codecs need even sides
    writer = cv2.VideoWriter(out, cv2.VideoWriter.fourcc(*'mp4v'), fps, size)
    if not writer.isOpened():
        raise UserError(f'drawing: {out} could not be written by OpenCV {cv2.__version__}; is the folder writable?')
    for t in _progress(range(count), out):
        writer.write(cv2.copyMakeBorder(draw(t), 0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE))
    writer.release()


def _write_gif(draw: Callable[[int], np.ndarray], count: int, out: str, fps: float) -> None:
    try:  # a dependency of matplotlib; OpenCV writes gifs only from 4.11 on, and they are larger
        from PIL import Image
    except ImportError as error:
        raise UserError(f'drawing: {out}: a gif needs Pillow (pip install pillow); mp4 and png do not') from error

    def image(t: int) -> Image.Image:
        return Image.fromarray(cv2.cvtColor(draw(t), cv2.COLOR_BGR2RGB))
    # With one palette for all images, static parts do not flicker and are stored only once.
    some = np.linspace(0, count - 1, min(count, 6)).round().astype(int)
    palette = Image.fromarray(np.concatenate([np.asarray(image(int(t))) for t in some])).quantize(128)
    colours = np.array(palette.getpalette() or []).reshape(-1, 3)
    colours[colours.min(1) > 245] = 255  # averaging leaves the background slightly grey
    palette.putpalette(colours.ravel().tolist())

    def reduced(t: int) -> Image.Image:
        return image(t).quantize(palette=palette, dither=Image.Dither.NONE)
    try:
        reduced(0).save(out, 'GIF', save_all=True, append_images=(reduced(t) for t in _progress(range(1, count), out)),
                        duration=max(20, round(100 / fps) * 10), loop=0, optimize=False)
    except OSError as error:
        raise UserError(f'drawing: {out} could not be written: {error}') from error


def _progress(pictures: range, out: str):
    console = Console(stderr=True)
    return track(pictures, os.path.basename(out), console=console, transient=True, disable=not console.is_terminal)


def _make_folder(out: str) -> None:
    folder = os.path.dirname(os.path.abspath(out))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f'drawing: the folder {folder} cannot be created: {error}') from error
