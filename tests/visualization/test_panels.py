"""Panels: one cell per clip, a common scale on request, and readable files."""
import cv2
import numpy as np
import pytest
from PIL import Image

from mmskelssl.datasets.toy.store import ACTIONS, make_sample
from mmskelssl.errors import UserError
from mmskelssl.visualization import Panel, Row, draw_panels

HEIGHT, GAP = 100, 6


@pytest.fixture
def clip():
    return make_sample(np.random.default_rng(0), ACTIONS.index('wave'), 1, 2)[:, :20]


def draw(rows, path, **options):
    return cv2.imread(draw_panels(rows, 'ntu25', path / 'p.png', **{'frames': 1, 'height': HEIGHT, **options}))


def cells(image, width):
    """Return whether each cell of a row of moments contains ink, from the left."""
    count = (image.shape[1] - 2 * GAP) // (width + GAP)
    strip = image[:HEIGHT]
    return [strip[:, GAP + i * (width + GAP):][:, :width].min() < 120 for i in range(count)]


def ink_height(image, i, width):
    """Return the rows of the image that the body of panel ``i`` covers."""
    cell = image[:HEIGHT, GAP + i * (width + GAP):][:, :width]
    return int((cell.min(-1) < 120).any(1).sum())


def panel_width(image, panels):
    assert (image.shape[1] - 2 * GAP) % panels == 0
    return (image.shape[1] - 2 * GAP) // panels - GAP


@pytest.mark.parametrize('count', [1, 2, 5])
def test_each_clip_has_a_panel_and_a_caption(clip, tmp_path, count):
    image = draw([Row('', [Panel(f'step {i}', clip) for i in range(count)])], tmp_path)
    width = panel_width(image, count)
    assert cells(image, width) == [True] * count
    captions = image[HEIGHT:]
    for i in range(count):
        assert captions[:, GAP + i * (width + GAP):][:, :width].min() < 150


def test_long_rows_go_on_below_and_moments_stand_one_below_the_other(clip, tmp_path):
    row = Row('', [Panel(str(i), clip) for i in range(5)])
    one, two = draw([row], tmp_path), draw([row], tmp_path, columns=3)
    assert two.shape[0] == 2 * one.shape[0] and two.shape[1] == 2 * GAP + 3 * (panel_width(one, 5) + GAP)
    assert draw([row], tmp_path, frames=4).shape[0] == one.shape[0] + 3 * HEIGHT
    assert draw([row], tmp_path, title='all').shape[0] > one.shape[0]


def test_one_scale_shows_who_is_larger(clip, tmp_path):
    middle = clip - clip.mean((0, 1, 2))
    panels = [Panel('before', middle), Panel('larger', 1.5 * middle), Panel('far too large', 6 * middle)]
    alike, apart = draw([Row('', panels, same_scale=True)], tmp_path), draw([Row('', panels)], tmp_path)
    width = panel_width(alike, 3)
    first, second, third = (ink_height(alike, i, width) for i in range(3))
    assert second == pytest.approx(1.5 * first, rel=.08) and third == pytest.approx(second, rel=.08)
    same = [ink_height(apart, i, width) for i in range(3)]
    assert np.ptp(same) <= 1
    # Only the clip that is not drawn to scale has a third line below it.
    notes = alike[HEIGHT + 18:]
    inked = [notes[:, GAP + i * (width + GAP):][:, :width].min() < 200 for i in range(3)]
    assert inked == [False, False, True]


def test_the_frame_does_not_move(clip, tmp_path):
    """A foot that does not move is drawn in one place, regardless of the arms."""
    still = np.repeat(clip[:, :1], 20, axis=1)
    still[:, :, 4:8] += np.linspace(0, .5, 20)[None, :, None, None]
    path = draw_panels([Row('', [Panel('arm', still)])], 'ntu25', tmp_path / 'p.gif', height=HEIGHT)
    frames = animation(path)
    assert len(frames) == 20
    legs = [frame[70:HEIGHT - 5] for frame in frames]
    assert legs[0].min() < 120 and all(np.array_equal(legs[0], other) for other in legs[1:])
    assert not np.array_equal(frames[0], frames[-1])


def animation(path) -> list[np.ndarray]:
    pictures = []
    with Image.open(path) as image:
        for t in range(image.n_frames):
            image.seek(t)
            pictures.append(np.asarray(image.convert('RGB')))
    return pictures


@pytest.mark.parametrize('suffix', ['gif', 'mp4'])
def test_the_longest_clip_gives_the_frames_up_to_a_limit(clip, tmp_path, suffix):
    rows = [Row('', [Panel('short', clip[:, :7]), Panel('long', clip)])]

    def count(**options):
        path = draw_panels(rows, 'ntu25', tmp_path / f'p.{suffix}', height=HEIGHT, title='a title', **options)
        if suffix == 'gif':
            return len(animation(path))
        video = cv2.VideoCapture(path)
        ok, image = video.read()
        assert ok and image.min() < 120
        return int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    assert count() == 20 and count(limit=10) == 10


def test_a_gif_keeps_white_white_and_repeats_byte_by_byte(clip, tmp_path):
    rows = [Row('wave', [Panel('a', clip), Panel('b', clip)])]
    files = [open(draw_panels(rows, 'ntu25', tmp_path / name, title='twice'), 'rb').read()
             for name in ('a.gif', 'b.gif')]
    assert files[0] == files[1]
    for frame in animation(tmp_path / 'a.gif'):
        assert (frame == 255).all(-1).mean() > .7
    with Image.open(tmp_path / 'a.gif') as image:
        assert image.info['loop'] == 0 and image.info['duration'] == 30


def test_errors(clip, tmp_path):
    with pytest.raises(UserError, match='no clip'):
        draw_panels([Row('empty', [], same_scale=True)], 'ntu25', tmp_path / 'p.png')
    with pytest.raises(UserError, match='25 joints, but layout kinect20'):
        draw_panels([Row('', [Panel('', clip)])], 'kinect20', tmp_path / 'p.png')
    with pytest.raises(UserError, match='suffix'):
        draw_panels([Row('', [Panel('', clip)])], 'ntu25', tmp_path / 'p.jpeg')
    with pytest.raises(UserError, match='frames per second must be positive'):
        draw_panels([Row('', [Panel('', clip)])], 'ntu25', tmp_path / 'p.gif', fps=0)
    (tmp_path / 'file').write_text('')
    for name in ('p.png', 'p.gif', 'p.mp4'):
        with pytest.raises(UserError, match='cannot be created'):
            draw_panels([Row('', [Panel('', clip)])], 'ntu25', tmp_path / 'file' / name)
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match='could not be written'):
            draw_panels([Row('', [Panel('', clip)])], 'ntu25', tmp_path / name)
