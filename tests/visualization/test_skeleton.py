"""Images: ink at the joints, none without a person, and readable files."""
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmskelssl.augment import SpatialFlip
from mmskelssl.datasets.toy.store import ACTIONS, make_sample
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS, get_layout
from mmskelssl.visualization import contact_sheet, draw_clip, grows_up, strip
from mmskelssl.visualization.skeleton import PERSONS, View, draw_frame
from tests.conftest import random_clip

LAYOUT = get_layout('ntu25')


@pytest.fixture
def pair():
    return make_sample(np.random.default_rng(0), ACTIONS.index('handshake'), 1, 2)


def canvas(view):
    return np.full((view.height, view.width, 3), 255, np.uint8)


def test_ink_is_where_the_joints_project(pair):
    view = View(pair, 400)
    for t in (0, 20):
        image = canvas(view)
        draw_frame(image, view, t, LAYOUT)
        for person in view.points[:, t].round().astype(int):
            for v, (x, y) in enumerate(person):
                reach = 30 if v == 3 else 3  # the head is a ring
                assert image[max(0, y - reach):y + reach + 1, x - reach:x + reach + 1].min() < 250
    inside = (view.points >= 0) & (view.points < (view.width, view.height))
    assert inside.all()


def test_left_and_right_have_their_colours(pair):
    view = View(pair[:1], 400)
    image = canvas(view)
    draw_frame(image, view, 0, LAYOUT)
    for joints, colour in (((12, 13), PERSONS[0][0]), ((16, 17), PERSONS[0][1])):
        x, y = view.points[0, 0, list(joints)].mean(0).round().astype(int)
        assert (np.abs(image[y - 4:y + 5, x - 4:x + 5].astype(int) - colour).sum(-1) < 12).any()


def has_colour(image, colour):
    return bool((np.abs(image.astype(int) - colour).sum(-1) < 12).any())


def test_each_person_has_colours_of_their_own(pair):
    for persons in (1, 2):
        view = View(pair[:persons], 400)
        image = canvas(view)
        draw_frame(image, view, 0, LAYOUT)
        assert [all(has_colour(image, colour) for colour in sides[:2]) for sides in PERSONS] == [True, persons == 2]


@pytest.mark.parametrize('name', [name for name in sorted(LAYOUTS) if LAYOUTS[name].pairs])
def test_a_flipped_clip_is_drawn_mirrored(name):
    layout = get_layout(name)
    clip = random_clip(np.random.default_rng(2), layout, 2, 5)
    batch = torch.from_numpy(clip).permute(3, 1, 2, 0)[None]
    flipped = SpatialFlip(p=1, mirror=True, layout=layout)(batch, torch.Generator().manual_seed(0))
    pictures = []
    for keypoints in (clip, flipped[0].permute(3, 1, 2, 0).numpy()):
        view = View(keypoints, 400, 400)
        pictures.append(canvas(view))
        draw_frame(pictures[-1], view, 2, layout)
    plain, mirrored = (np.where(image.min(-1) < 170, 1, 0) for image in pictures)
    # Pixel x is drawn at 400 - x: one further than where reversing the columns puts it.
    assert (plain[:, :0:-1] != mirrored[:, 1:]).sum() < .06 * plain.sum()
    assert (plain != mirrored).sum() > .5 * plain.sum()


def test_joints_at_zero_are_left_out_unless_centring_put_them_there(pair):
    masked = pair[:1].copy()
    masked[:, :, [7, 21]] = 0
    view = View(masked, 400)
    np.testing.assert_array_equal(view.seen[0, 0], [v not in (7, 21) for v in range(25)])
    np.testing.assert_allclose(view.points[:, :, :7], View(np.delete(pair[:1], [7, 21], 2), 400).points[:, :, :7])
    image = canvas(view)
    draw_frame(image, view, 0, LAYOUT)
    x, y = view.points[0, 0, 6].round().astype(int)
    assert image[y, x].min() < 250
    centred = pair[:1] - pair[:1, :, 20:21]
    assert View(centred, 400).seen.all()
    lost = pair[:1].copy()
    lost[:, :, 20] = 0  # as written by pose estimators for undetected joints: far away from the body
    assert not View(lost, 400).seen[:, :, 20].any()


def test_heads_are_up_for_every_vertical_axis_of_the_data(pair, tmp_path):
    upside_down = pair * np.float32([1, -1, 1])
    assert grows_up([pair], LAYOUT) is True and grows_up([upside_down], LAYOUT) is False
    assert grows_up([np.zeros_like(pair)], LAYOUT) is None and grows_up([], LAYOUT) is None
    coco = get_layout('coco17')  # its root is the nose, above the shoulders
    height = np.array([0, .05, .05, 0, 0, .2, .2, .4, .4, .6, .6, .6, .6, .8, .8, 1, 1]) * 300  # pixels, downwards
    person = np.stack([np.zeros(17), height], -1)[None, None] + 1
    assert grows_up([person], coco) is False and grows_up([-person], coco) is True
    np.testing.assert_array_equal(strip(upside_down, LAYOUT), strip(pair, LAYOUT))
    np.testing.assert_array_equal(contact_sheet([('a', upside_down)], LAYOUT), contact_sheet([('a', pair)], LAYOUT))
    flat = [strip(clip[..., :2], LAYOUT) for clip in (pair, upside_down)]
    np.testing.assert_array_equal(*flat)


def test_long_titles_fit(pair):
    short, long = (strip(pair, LAYOUT, frames=2, height=120, title=title) for title in ('a', 'a long title ' * 9))
    assert long.shape == short.shape
    np.testing.assert_array_equal(long[30:], short[30:])
    assert long[:30, -60:].tolist() == short[:30, -60:].tolist()  # the number of frames remains legible


def test_an_absent_person_leaves_no_pixels(pair):
    alone = np.concatenate([pair[:1], np.zeros_like(pair[:1])])
    np.testing.assert_array_equal(strip(alone, LAYOUT), strip(pair[:1], LAYOUT))
    empty = View(np.zeros_like(pair), 200)
    blank, image = canvas(empty), canvas(empty)
    draw_frame(image, empty, 0, LAYOUT)
    assert (image != blank).any(axis=-1).sum(axis=0).max() <= 6  # the ground line alone


def test_the_highest_joint_is_the_highest_pixel(pair):
    view = View(pair, 300)
    m, t, v = np.unravel_index(pair[..., 1].argmax(), pair.shape[:3])
    assert view.points[m, t, v, 1] == view.points[..., 1].min()
    flat = View(pair[..., :2], 300)  # image coordinates grow downwards
    assert flat.points[m, t, v, 1] == flat.points[..., 1].max()


def test_turning_the_view_by_a_quarter_shows_the_depth(pair):
    plain, turned = View(pair, 300, 300), View(pair, 300, 300, angles=(90, 0))
    depth, shown = pair[..., 2].ravel(), turned.points[..., 0].ravel()
    assert np.corrcoef(depth, shown)[0, 1] == pytest.approx(1)
    np.testing.assert_allclose(np.corrcoef(plain.points[..., 0].ravel(), pair[..., 0].ravel())[0, 1], 1)


def test_weights_colour_the_joints(pair):
    weights = np.zeros(25)
    weights[11] = 5.
    image = strip(pair, LAYOUT, frames=1, weights=weights)
    blue, red = image[..., 0].astype(int), image[..., 2].astype(int)
    assert 0 < (red - blue > 150).sum() < 400


@pytest.mark.parametrize('channels', [2, 3])
@pytest.mark.parametrize('suffix', ['png', 'gif', 'mp4'])
def test_files_open(pair, tmp_path, suffix, channels):
    clip, out = pair[:, :12, :, :channels], tmp_path / f'new/clip.{suffix}'
    path = draw_clip(clip, 'ntu25', out, title='handshake', height=120)
    if suffix == 'png':
        image = cv2.imread(path)
        assert image.shape[0] == 150 and image.min() < 100
    elif suffix == 'gif':
        with Image.open(path) as image:
            assert image.n_frames == 12
    else:
        video = cv2.VideoCapture(path)
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 12
        ok, image = video.read()
        assert ok and image.min() < 120


def test_contact_sheet_has_every_clip(tmp_path):
    clips = [(name, make_sample(np.random.default_rng(i), i, 1, 2)) for i, name in enumerate(ACTIONS[:3])]
    sheet = contact_sheet(clips, 'ntu25', tmp_path / 'sheet.png')
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'sheet.png')), sheet)
    rows = sheet[12:-12, 12:-12]
    half = len(rows) // 2
    assert rows[:half].min() < 120 and rows[half:, :500].min() < 120


def test_a_still_clip_of_one_frame_and_other_layouts_are_drawn(tmp_path):
    keypoints = np.random.default_rng(0).normal(size=(1, 1, 15, 3))
    assert strip(keypoints, 'sbu15', frames=2).min() < 120
    nobody = strip(np.zeros((1, 4, 20, 3)), 'kinect20')
    assert nobody.min() > 150


def test_errors_say_what_is_wrong(pair, tmp_path):
    with pytest.raises(UserError, match='25 joints, but layout kinect20 has 20'):
        draw_clip(pair, 'kinect20', tmp_path / 'a.png')
    with pytest.raises(UserError, match='suffix'):
        draw_clip(pair, 'ntu25', tmp_path / 'a.bmp')
    with pytest.raises(UserError, match='shape'):
        draw_clip(pair[0], 'ntu25', tmp_path / 'a.png')
    with pytest.raises(UserError, match='NaN'):
        draw_clip(np.where(pair > 3, np.nan, pair), 'ntu25', tmp_path / 'a.png')
    with pytest.raises(UserError, match='weights have shape'):
        draw_clip(pair, 'ntu25', tmp_path / 'a.png', weights=np.zeros(7))
    with pytest.raises(UserError, match='no clips'):
        contact_sheet([], 'ntu25')
