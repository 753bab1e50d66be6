"""Commands that copy frames into files with new hashes refuse damaged ones, which would count as sound from then on."""
import os

import numpy as np
import pytest

from mmskelssl.datasets.store.append import Appended
from mmskelssl.datasets.store.convert import convert
from mmskelssl.datasets.store.merge import merge
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.subset import subset
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLIPS = np.random.default_rng(0).normal(size=(4, 1, 3000, 20, 3)).astype(np.float32)


def write(path, clips=CLIPS, **options):
    with StoreWriter(path, 'kinect20', classes=['a'], source='here', **options) as writer:
        for i, clip in enumerate(clips):
            writer.add(f's{i}', clip, label=0)
    return path


@pytest.fixture(params=[None, 1], ids=['array', 'shards'])
def damaged(request, tmp_path):
    """A store of one array, or of shards, with one changed number in the last clip."""
    path = write(tmp_path / 's', shard_size=request.param)
    file = max((path / 'shards').glob('*.keypoints.npy')) if request.param else path / 'keypoints.npy'
    with open(file, 'r+b') as stream:
        stream.seek(-4000, os.SEEK_END)
        stream.write(np.float32(7).tobytes())
    return path


@pytest.mark.parametrize('copy', [
    lambda path, out: convert(path, out, 'sbu15'),
    lambda path, out: subset(path, out, count=4),
    lambda path, out: merge([str(path), str(write(path.parent / 'other'))], out)], ids=['convert', 'subset', 'merge'])
def test_damaged_frames_are_not_copied(damaged, tmp_path, copy):
    with pytest.raises(UserError, match=r'/s/(shards/0.*|)keypoints.npy has changed since it was written'):
        copy(damaged, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_damaged_frames_are_not_another_clip(damaged):
    with pytest.raises(UserError, match='keypoints.npy has changed since it was written'):
        Appended(str(damaged)).has('s3', CLIPS[3], None)


def test_a_damaged_array_does_not_become_a_shard(tmp_path):
    path = write(tmp_path / 's')
    rows = np.load(path / 'keypoints.npy', mmap_mode='r+')
    rows[0, 0, 0] += 1
    rows.flush()
    with pytest.raises(UserError, match='keypoints.npy has changed since it was written'), StoreWriter(
            path, 'kinect20', classes=['a'], source='here', append=True) as writer:
        writer.add('new', CLIPS[0], label=0)
    assert not SkeletonStore(path).sharded


def test_sound_shards_are_copied(tmp_path):
    path = write(tmp_path / 's', shard_size=1)
    (path / 'shards' / '00003.keypoints.npy').write_bytes(b'?' * (path / 'shards/00003.keypoints.npy').stat().st_size)
    (tmp_path / 'ids').write_text('s0\ns2\n')
    subset(path, tmp_path / 'out', ids=str(tmp_path / 'ids'))
    assert SkeletonStore(tmp_path / 'out').ids == ['s0', 's2']
    repair(path, tmp_path / 'mended')
    assert SkeletonStore(tmp_path / 'mended').ids == ['s0', 's1', 's2']
