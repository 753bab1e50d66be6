"""Preprocessing per batch gives the clips of the cache, for every transform, for real and for hostile clips."""
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from torch.utils.data import DataLoader

from mmskelssl.datasets import SkeletonDataset, SkeletonStore, StoreWriter, cache_or_batch, whole_batch
from mmskelssl.datasets.batch_pipeline import BatchPipeline
from mmskelssl.datasets.pool import PooledDataset
from mmskelssl.datasets.preprocessing import build_transform, preprocess_sample
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.registry import TRANSFORMS
from tests.conftest import random_clip

PACK, RESIZE = dict(type='PackSkeleton'), dict(type='ResizeFrames', frames=12)
TWO = dict(type='SelectPersons', max_persons=2)
PIPELINE = [TWO, dict(type='Center'), RESIZE, dict(type='AlignShoulders'), PACK]
PIPELINES = dict(
    lineage=PIPELINE,
    unordered=[dict(TWO, by='energy'), dict(type='AlignShoulders'), dict(type='Center', joint=4), RESIZE, PACK],
    sequence=[dict(TWO, max_persons=3), dict(type='AlignSequence', middle=True), dict(type='FitRange', limit=.7),
              dict(type='PadFrames', frames=20), PACK],
    moved=[dict(TWO, max_persons=1), dict(type='AlignSequence', turn=False, joint=4), RESIZE, PACK],
    filled=[dict(type='FillUnseen'), TWO, dict(type='AlignSequence'), RESIZE, dict(type='FitRange'), PACK],
    padded=[TWO, RESIZE, dict(type='PadFrames', frames=15), PACK],
    pyskl=[TWO, dict(type='PreNormalize3D'), RESIZE, PACK],
    pyskl_moved=[TWO, dict(type='PreNormalize3D', up='z', align_spine=False), RESIZE, PACK],
    high=[TWO, dict(type='Center', keep_height=True), RESIZE, PACK],
    raw=[TWO, RESIZE, PACK])
FLAT = dict(
    sequence=[TWO, dict(type='AlignSequence', turn=False), dict(type='FitRange'), RESIZE, PACK],
    filled=[dict(type='FillUnseen'), TWO, dict(type='Center'), dict(type='PadFrames', frames=20), PACK])


def hostile_store(path, layout: str, flat: bool, scored: bool) -> str:
    """Bodies of one to three persons of 1 to 40 frames who come and go, with joints that are not detected."""
    rng, layout = np.random.default_rng(0), get_layout(layout)
    with StoreWriter(path, layout.name, channels=2 if flat else 3, scores=scored) as writer:
        for i in range(40):
            persons, frames = int(rng.integers(1, 4)), int(rng.integers(1, 41)) if i else 1
            clip = random_clip(rng, layout, persons, frames, i % 4)
            clip[rng.random((persons, frames)) < rng.choice([0, .3])] = 0
            clip[rng.random(clip.shape[:3]) < rng.choice([0, .1])] = 0
            clip[0, :, :2] += 1e-3 * i  # the first person always has a body
            scores = (rng.random(clip.shape[:3]) * clip.any(-1) * (rng.random(clip.shape[:3]) < .9)) if scored else None
            writer.add(f'clip{i}', clip[..., :2] if flat else clip, 0, scores=scores)
    return str(path)


@pytest.fixture(scope='module')
def stores(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp('hostile')
    return {(flat, scored): hostile_store(folder / f'{flat}{scored}', 'ntu25', flat, scored)
            for flat in (False, True) for scored in (False, True)}


def compare(store: SkeletonStore, pipeline: list[dict], rows) -> int:
    """Compare a batch with single clips; return how many both of them accept."""
    transform, made = build_transform(pipeline), BatchPipeline(store, pipeline)
    expected = {}
    for row in rows:
        try:
            expected[row] = preprocess_sample(store, row, transform)
        except UserError as error:
            with pytest.raises(UserError, match=store.ids[row]) as caught:
                made(np.array([row]))
            assert str(caught.value) == str(error)
    clips, frames = made(np.array(list(expected)))
    assert clips.dtype == torch.float32 and clips.is_contiguous()
    for clip, count, (row, sample) in zip(clips, frames, expected.items(), strict=True):
        assert count == sample['num_frames'], row
        np.testing.assert_allclose(clip.numpy(), sample['inputs'], rtol=1e-6, atol=1e-6, err_msg=store.ids[row])
    return len(expected)


@pytest.mark.parametrize('flat, name', [(False, name) for name in PIPELINES] + [(True, name) for name in FLAT])
@pytest.mark.parametrize('scored', [False, True])
def test_hostile_clips(stores, flat, name, scored):
    pipeline = (FLAT if flat else PIPELINES)[name]
    pipeline = [*pipeline[:-1], dict(PACK, scores=True)] if scored else pipeline
    store = SkeletonStore(stores[flat, scored])
    order = np.random.default_rng(0).permutation(len(store)).tolist()
    assert compare(store, pipeline, order) > 30


def test_the_end_of_a_padded_clip_is_not_the_direction_of_its_person(tmp_path):
    """The last direction that was seen is held where shoulders are not seen, but does not count after the end."""
    rng, layout = np.random.default_rng(0), get_layout('ntu25')
    with StoreWriter(tmp_path / 's', 'ntu25', scores=True) as writer:
        for name, frames in dict(short=4, long=40).items():
            clip = random_clip(rng, layout, 1, frames)
            left, right = layout.shoulders
            clip[0, :, right, 2] = clip[0, :, left, 2] + .3
            clip[0, -1, right, 2] = clip[0, -1, left, 2] - .1  # turned away in the last frame
            writer.add(name, clip, 0, scores=np.ones(clip.shape[:3]))
    pipeline = [dict(type='SelectPersons', max_persons=1), dict(type='AlignShoulders'), RESIZE, PACK]
    assert compare(SkeletonStore(tmp_path / 's'), pipeline, [0, 1]) == 2


def test_long_clips_do_not_enlarge_the_others(stores):
    store = SkeletonStore(stores[False, False])
    rows, pipeline = np.arange(1, len(store)), BatchPipeline(store, PIPELINE)
    whole, parts = pipeline.stored(rows), pipeline.stored(rows, 1 << 16)
    assert len(whole.groups) == 1 and len(parts.groups) > 10
    assert all(group.x.numel() * 4 <= 1 << 16 or len(group.x) == 1 for group in parts.groups)
    for made, expected in zip(parts.prepared(), whole.prepared(), strict=True):
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_the_real_nwucla(real_data, tmp_path):
    with open(real_data / 'nw_ucla.pkl', 'rb') as file, StoreWriter(tmp_path / 's', 'kinect20') as writer:
        for clip in pickle.load(file)['annotations'][::10]:
            writer.add(clip['frame_dir'], clip['keypoint'], clip['label'])
    pipeline = [dict(TWO, max_persons=1), dict(type='AlignSequence'), dict(RESIZE, frames=32), PACK]
    cached, made = (SkeletonDataset(tmp_path / 's', 'all', pipeline, preprocess=how) for how in ('cache', 'batch'))
    assert len(made) > 100
    indices = np.random.default_rng(0).permutation(len(made)).tolist()
    expected, found = cached.__getitems__(indices), made.__getitems__(indices)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def both(store, split='train', **options) -> list[SkeletonDataset]:
    return [SkeletonDataset(store, split, PIPELINE, preprocess=how, **options) for how in ('cache', 'batch')]


def same(made: dict, expected: dict) -> None:
    torch.testing.assert_close(made, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('options', [{}, dict(resident='device'), dict(held_out=5), dict(held_out=5, part='held_out')])
def test_the_data_set_is_the_same(tiny_store, options):
    cached, made = both(tiny_store, **options)
    assert (cached.preprocess, made.preprocess) == ('cache', 'batch') and not hasattr(made, 'clips')
    for indices in ([3, 0, 2], [1]):
        same(made.__getitems__(indices), cached.__getitems__(indices))
    same(pickle.loads(pickle.dumps(made)).__getitems__([0, 3]), cached.__getitems__([0, 3]))
    same(made[2], cached[2])


def test_workers_and_the_preprocessor_on_the_device(tiny_store):
    """Deferred batches come from a worker as stored, and the model's preprocessor prepares them."""
    cached, made = both(tiny_store)
    made.defer()
    preprocessor = SkeletonPreprocessor('ntu25')
    loader = DataLoader(made, 8, num_workers=1, collate_fn=whole_batch)
    for i, batch in enumerate(loader):
        assert 'num_frames' not in batch['data_samples'] and len(batch['inputs']) == 8
        expected = preprocessor(cached.__getitems__(list(range(8 * i, 8 * i + 8))), False)
        same(preprocessor(batch, False), expected)
    same(made[0], cached[0])
    cached.defer()  # nothing is left to do
    assert torch.is_tensor(cached.__getitems__([0])['inputs'])


def test_a_pool_prepares_where_it_reads(tiny_store, tiny_kinect_store):
    one = [dict(TWO, max_persons=1), *PIPELINE[1:]]
    pools = [PooledDataset([dict(type='SkeletonDataset', store=store, split='train', pipeline=pipeline, preprocess=how)
                            for store, pipeline in ((tiny_store, PIPELINE), (tiny_kinect_store, one))], 'ab', [1, 1])
             for how in ('cache', 'batch')]
    cached, made = (pool.__getitems__([40, 3, 63, 0]) for pool in pools)
    same(made, cached)


def test_a_transform_without_a_batched_form(tiny_store, monkeypatch):
    @TRANSFORMS.register_module(force=True)
    class Plain(BaseTransform):
        def transform(self, results):
            return results

    class Louder(type(TRANSFORMS.build(TWO))):
        def transform(self, results):
            return super().transform(results)

    TRANSFORMS.register_module(module=Louder, force=True)
    for name in ('Plain', 'Louder'):
        pipeline = [dict(type=name), *PIPELINE]
        with pytest.raises(UserError, match=f"data.preprocess is 'batch', but the transform {name} of data.pipe"):
            SkeletonDataset(tiny_store, 'train', pipeline, preprocess='batch')
        with monkeypatch.context() as patch:
            patch.setattr(cache_or_batch, 'LARGEST', 1)
            made = SkeletonDataset(tiny_store, 'train', pipeline)
        assert made.preprocess == 'cache' and made.chosen.endswith(f'the transform {name} has no batched form')


def test_clips_that_differ_in_shape_are_refused_at_once(tiny_store):
    for pipeline in ([RESIZE, PACK], [TWO, PACK]):
        with pytest.raises(UserError, match='may differ in shape after preprocessing: add SelectPersons, and Resize'):
            SkeletonDataset(tiny_store, 'train', pipeline, preprocess='batch')
    with pytest.raises(UserError, match='data.pipeline must end with dict'):
        SkeletonDataset(tiny_store, 'train', [TWO, RESIZE], preprocess='batch')


def test_auto_goes_by_size(tiny_store, tmp_path, monkeypatch):
    store = shutil.copytree(tiny_store, tmp_path / 'tiny', ignore=shutil.ignore_patterns('cache'))

    def chosen(**options) -> tuple[str, str]:
        made = SkeletonDataset(store, 'train', PIPELINE, **options)
        return made.preprocess, made.chosen

    size = 48 * 3 * 12 * 25 * 2 * 4
    with monkeypatch.context() as patch:
        patch.setattr(cache_or_batch, 'LARGEST', size - 1)
        assert chosen() == ('batch', chosen()[1]) and 'a cache would take 0.33 MiB, with' in chosen()[1]
    with monkeypatch.context() as patch:
        patch.setattr(cache_or_batch, 'free_bytes', lambda *_: 2 * size - 1)
        assert chosen()[0] == 'batch' and chosen()[1].endswith('0.659 MiB free on its disk: more than 50 % of it')
        patch.setattr(cache_or_batch, 'free_bytes', lambda *_: 0)  # no folder can be written to
        assert chosen()[0] == 'batch' and not (store / 'cache').exists()
        patch.setattr(cache_or_batch, 'free_bytes', lambda *_: 2 * size)
        assert chosen() == ('cache', '0.33 MiB, with 0.659 MiB free on its disk')
        patch.setattr(cache_or_batch, 'LARGEST', 0)
        assert chosen() == ('cache', 'it exists') and chosen(preprocess='batch') == ('batch', 'as in data.preprocess')
    with pytest.raises(UserError, match="data.preprocess is 'disk'; it must be 'auto', 'cache' or 'batch'"):
        chosen(preprocess='disk')


def test_a_clip_that_is_not_finite_is_named(tiny_store, tmp_path):
    store = shutil.copytree(tiny_store, tmp_path / 'tiny', ignore=shutil.ignore_patterns('cache'))
    rows = np.load(store / 'keypoints.npy', mmap_mode='r+')
    opened = SkeletonStore(store)
    rows[sum(opened.keypoints(i)[..., 0, 0].size for i in range(2))] = np.nan  # the first frame of the third clip
    rows.flush()
    data = SkeletonDataset(store, 'train', PIPELINE, preprocess='batch')
    with pytest.raises(UserError, match='sample clip002 contains NaN or Inf'):
        data.__getitems__([0, 1, 2, 3])
    assert len(data.__getitems__([0, 1])['inputs']) == 2
