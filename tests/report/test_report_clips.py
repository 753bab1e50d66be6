"""How clips are packed into a page, and how much room they take."""
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore
from mmskelssl.report.clips import UNSEEN, ClipPacker, decode, encode
from mmskelssl.report.page import bokeh_scripts
from tests.conftest import random_clip


def test_clips_of_the_page_are_those_of_the_store(page, tiny_store):
    store = SkeletonStore(tiny_store)
    for i in (0, 17):
        packed = page.data['clips']['packed'][i]
        persons, frames, channels = packed['shape']
        points = decode(packed['data'], persons, frames, 25, channels)
        clip = store.keypoints(i)
        there = clip[clip.any((1, 2, 3))][:, np.arange(0, clip.shape[1], 2)]
        expected = 1000 * (there - (there.reshape(-1, 3).min(0) + there.reshape(-1, 3).max(0)) / 2)
        expected[..., 1] *= ClipPacker.of_store(store).up
        assert packed['fps'] == 15 and np.abs(points - expected).max() <= .51


def test_packing_survives_every_value():
    rng = np.random.default_rng(0)
    whole = rng.integers(-32767, 32768, (2, 9, 5, 3)).astype(np.int16)
    whole[1, 3:5] = UNSEEN
    assert (decode(encode(whole), 2, 9, 5, 3) == whole).all()


@pytest.mark.parametrize('units, scale, fps', [('m', 1, 30), ('px', 300, 10), ('m', 200, None)])
def test_units_and_rates(units, scale, fps):
    from mmskelssl.layouts import get_layout
    layout = get_layout('ntu25')
    clip = scale * random_clip(np.random.default_rng(1), layout, 1, 30)
    packer = ClipPacker(layout, [clip], units, fps)
    packed = packer.pack(clip)
    points = decode(packed['data'], 1, packed['shape'][1], 25, 3) * packed['step']
    assert packed['shape'][1] == (30 if fps == 10 else 15) and packed['fps'] == (10 if fps == 10 else 15)
    assert packer.fps_known == bool(fps) and np.abs(points).max() > 200
    bare = packer.pack(np.zeros_like(clip))
    assert (decode(bare['data'], 1, bare['shape'][1], 25, 3) == UNSEEN).all()
    assert packer.pack(np.tile(clip, (1, 100, 1, 1)))['cut']


def test_sizes(tmp_path):
    """500 clips of 25 joints and two seconds, with noise that cannot be compressed, and 2,000 of them."""
    from mmskelssl.datasets.toy.store import write_toy_store
    write_toy_store(str(tmp_path / 'toy'), num_samples=100)
    store = SkeletonStore(str(tmp_path / 'toy'))
    packer = ClipPacker.of_store(store)
    each = np.mean([len(json.dumps(packer.pack(store.keypoints(i)))) for i in range(100)])
    fixed = sum(map(len, bokeh_scripts())) + 1_200_000  # charts, views, masks and tables
    assert 500 * each + fixed < 6e6 and 2000 * (each + 400) + fixed < 15e6
