"""Stores on object storage: s3:// through fsspec and s3fs, on a server of moto on this machine."""
import os
import urllib.request

import numpy as np
import pytest
from torch.utils.data import DataLoader

from mmskelssl.datasets.skeleton_dataset import SkeletonDataset
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from tests.datasets.store.test_remote import CLIPS, write

s3fs = pytest.importorskip('s3fs')
pytest.importorskip('flask')  # of moto's extra `server`
moto = pytest.importorskip('moto.server')


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The address of a store of three shards in a bucket, the store on disk, and the file system."""
    here = write(tmp_path / 'here', shard_size=1)
    server = moto.ThreadedMotoServer('127.0.0.1', 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f'http://{host}:{port}/moto-api/reset', method='POST'))
    for name, value in dict(AWS_ENDPOINT_URL=f'http://{host}:{port}', AWS_ACCESS_KEY_ID='id', NO_PROXY='127.0.0.1',
                            AWS_SECRET_ACCESS_KEY='secret', AWS_DEFAULT_REGION='us-east-1',
                            MMSKELSSL_STORES='s3://skeletons/', XDG_CACHE_HOME=str(tmp_path / 'cache')).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir('skeletons')
    files.put(str(tmp_path / 'here'), 'skeletons/mine', recursive=True)
    yield 's3://skeletons/mine', here, files
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_clips_are_read_from_a_bucket(bucket):
    address, here, _ = bucket
    store = SkeletonStore(address)
    assert len(store) == 6 and store.data_hash == here.data_hash
    for i, clip in enumerate(CLIPS):
        np.testing.assert_array_equal(store.keypoints(i), clip)
    store.verify_hash()
    with pytest.raises(UserError, match='s3://elsewhere/mine: to fetch stores from there, set MMSKELSSL_STORES'):
        SkeletonStore('s3://elsewhere/mine')
    with pytest.raises(UserError, match='s3://skeletons/none/index.json cannot be fetched .*3 attempts'):
        SkeletonStore('s3://skeletons/none')


def test_a_worker_fetches_what_its_parent_has_not(bucket, tmp_path):
    """The worker is forked from a process in which s3fs is already at work."""
    address, here, _ = bucket
    pipeline = [dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]
    data = SkeletonDataset(address, 'train', pipeline, preprocess='batch')
    kept = tmp_path / 'cache' / 'mmskelssl' / 'shards'
    before = {name for name in os.listdir(kept) if len(name) == 64}
    batches = list(DataLoader(data, batch_size=3, num_workers=1, multiprocessing_context='fork',
                              collate_fn=lambda batch: batch))
    expected = SkeletonDataset(str(tmp_path / 'here'), 'train', pipeline, preprocess='batch').__getitems__([0, 1, 2])
    np.testing.assert_array_equal(batches[0]['inputs'], expected['inputs'])
    assert before < {name for name in os.listdir(kept) if len(name) == 64}


def test_a_damaged_object_is_not_used(bucket):
    address, here, files = bucket
    name = 'skeletons/mine/shards/00001.keypoints.npy'
    content = files.cat(name)
    files.pipe(name, content[:-1] + bytes([content[-1] ^ 1]))
    store = SkeletonStore(address)
    with pytest.raises(UserError, match='shards/00001.keypoints.npy cannot be fetched .its sha256 is not that'):
        store.keypoints(2)
    files.pipe(name, content)
    np.testing.assert_array_equal(store.keypoints(2), CLIPS[2])
