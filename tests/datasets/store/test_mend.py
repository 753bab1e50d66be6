"""Repairs of sequences, tested on small hand-made cases."""
import numpy as np

from mmskelssl.datasets.store.mend import drop_empty, fill_gaps, unmasked
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter

NAN = np.nan


def track(*values, joints=3):
    """(1, T, joints, 2): the first joint's coordinates are the values and ten times as much, the others 1."""
    clip = np.ones((1, len(values), joints, 2), np.float32)
    clip[0, :, 0, 0], clip[0, :, 0, 1] = values, np.array(values) * 10
    return clip


def test_what_is_whole_stays():
    clip = track(1, 2, 3)
    mended, text = fill_gaps(clip)
    assert mended is clip and text == ''


def test_gaps_are_filled_in_over_time():
    clip = track(NAN, 2, NAN, NAN, 8, np.inf)
    before = clip.copy()
    mended, text = fill_gaps(clip)
    np.testing.assert_allclose(mended[0, :, 0], [[2, 20], [2, 20], [4, 40], [6, 60], [8, 80], [8, 80]])
    np.testing.assert_array_equal(mended[0, :, 1:], 1)
    assert text == '4 of 18 joint positions were NaN or Inf, filled in over time'
    np.testing.assert_array_equal(clip, before)


def test_one_coordinate_makes_the_joint_a_gap():
    clip = track(1, 2, 5)
    clip[0, 1, 0, 1] = NAN
    mended, _ = fill_gaps(clip)
    np.testing.assert_allclose(mended[0, 1, 0], [3, 30])


def test_absent_frames_are_no_frames_of_the_joint():
    """A person arrives late and leaves early. The gaps are not interpolated towards zero."""
    clip = track(0, 0, 4, NAN, NAN, 0)
    clip[0, [0, 1, 5]] = 0
    mended, _ = fill_gaps(clip)
    np.testing.assert_allclose(mended[0, :, 0, 0], [0, 0, 4, 4, 4, 0])
    absent = np.concatenate([track(1, NAN, 3), np.zeros((1, 3, 3, 2), np.float32)])
    mended, _ = fill_gaps(absent)
    np.testing.assert_allclose(mended[0, :, 0, 0], [1, 2, 3])
    assert not mended[1].any()


def test_what_has_no_mend():
    assert fill_gaps(track(NAN, NAN)) == (None, 'and joint 0 is never seen (2 of 6 joint positions)')
    late = track(0, 0, NAN)
    late[0, :2] = 0
    assert fill_gaps(late)[0] is None
    mostly = track(1, 2, 3, 4)
    mostly[0, 1:] = NAN
    assert fill_gaps(mostly) == (None, '9 of 12 joint positions')


def test_empty_frames_and_persons():
    clip = np.ones((3, 5, 2, 3), np.float32)
    clip[:, 2] = 0
    clip[0, 3] = 0
    clip[1] = 0
    mended, text = drop_empty(clip)
    np.testing.assert_array_equal(mended, clip[[0, 2]][:, [0, 1, 3, 4]])
    assert text == '1 of 5 frames without a body dropped; 1 of 3 persons without a body dropped'
    whole, text = drop_empty(clip[2:, :2])
    assert text == '' and whole.shape == (1, 2, 2, 3)
    assert drop_empty(clip[1:2]) == (None, 'every coordinate is zero, there is no body in it')


def test_masked_values_are_gaps():
    clip = np.ma.masked_equal(track(1, 2, 5), 2)
    np.testing.assert_allclose(fill_gaps(unmasked(clip))[0][0, 1, 0], [3, 30])
    assert unmasked(5) == 5 and unmasked(np.ma.array([1, 2], mask=[1, 0], dtype=np.int16)).dtype == np.float32


def test_masks_of_imported_arrays(tmp_path):
    clip = np.random.default_rng(0).random((1, 3, 15, 3)) + 1
    clip[0, 1, 4, 0] = 9
    with StoreWriter(tmp_path / 'store', 'sbu15') as writer:
        writer.add('a', np.ma.masked_equal(clip, 9))
    store = SkeletonStore(str(tmp_path / 'store'))
    np.testing.assert_allclose(store.keypoints(0)[0, 1, 4], clip[0, [0, 2], 4].mean(0), atol=1e-6)
