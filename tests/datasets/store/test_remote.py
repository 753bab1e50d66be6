"""Stores at an address, on a server of this machine: fetched when needed, compared, kept within a limit."""
import functools
import http.server
import os
import pickle
import shutil
import sys
import threading
import time

import numpy as np
import pytest

from mmskelssl.datasets.skeleton_dataset import SkeletonDataset, preprocessed
from mmskelssl.datasets.store import remote
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.split import draw_split
from mmskelssl.datasets.store.verify import verify
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.config import open_store
from mmskelssl.errors import UserError

CLIPS = [np.random.default_rng(i).normal(size=(1, 1600, 20, 3)).astype(np.float32) for i in range(6)]  # two in a shard


def write(path, **options):
    with StoreWriter(path, 'kinect20', classes=['a', 'b'], **options) as writer:
        for i, clip in enumerate(CLIPS):
            writer.add(f's{i}', clip, label=i % 2, camera=i)
        writer.set_split('train', ['s0', 's3', 's5'])
    return SkeletonStore(path)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files. ``failures`` is how often the connection ends half-way through a file whose name has ``which``."""
    asked: list[str] = []
    which, failures = '', 0

    def do_GET(self):
        self.asked.append(self.path)
        if self.failures and self.which in self.path:
            type(self).failures -= 1
            content = open(self.translate_path(self.path), 'rb').read()
            self.send_response(200)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content[:len(content) // 2])
            self.wfile.flush()
            self.connection.close()
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address of a store of three shards, and its folder."""
    write(tmp_path / 'www' / 's', shard_size=1)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(Handler, 'asked', [])
    monkeypatch.setattr(Handler, 'failures', 0)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler,
                                                                                 directory=str(tmp_path / 'www')))
    threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=.01), daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}'
    monkeypatch.setenv('MMSKELSSL_STORES', f'https://other/ {address}/')
    yield f'{address}/s', tmp_path / 'www' / 's'
    server.shutdown()
    server.server_close()


def kept(tmp_path):
    return {name for name in os.listdir(tmp_path / 'cache' / 'mmskelssl' / 'shards') if len(name) == 64}


def test_only_what_is_needed_is_fetched_and_kept(served, tmp_path):
    address, folder = served
    store, here = SkeletonStore(address), SkeletonStore(folder)
    assert Handler.asked == ['/s/index.json'] and len(store) == 6 and store.data_hash == here.data_hash
    np.testing.assert_array_equal(store.keypoints(2), CLIPS[2])
    assert set(Handler.asked[1:]) == {f'/s/shards/00001.{what}.npy' for what in ('keypoints', 'samples-0', 'extras-0')}
    assert store.samples[1]['camera'] == 1 and store.ids == here.ids and store.split('train').tolist() == [0, 3, 5]
    Handler.asked.clear()
    again = pickle.loads(pickle.dumps(SkeletonStore(f'{address}/')))  # noqa: S301
    np.testing.assert_array_equal(again.keypoints(3), CLIPS[3])
    assert again.labels.tolist() == [0, 1] * 3 and set(Handler.asked) == {'/s/index.json'}
    store.verify_hash()
    assert verify(address) == [] and 'lock' in os.listdir(tmp_path / 'cache' / 'mmskelssl' / 'shards')


def test_it_is_preprocessed_in_the_users_cache(served, tmp_path, monkeypatch):
    address, folder = served
    monkeypatch.chdir(tmp_path)
    pipeline = [dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]
    data = SkeletonDataset(address, 'train', pipeline)
    assert (data.clips == preprocessed(SkeletonStore(folder), pipeline)[0]).all() and not (tmp_path / 'http:').exists()
    assert len(open_store(dict(store=address))) == 6
    with pytest.raises(UserError, match='s is an address, where nothing is changed: copy the store here'):
        draw_split(address, .2)


@pytest.mark.parametrize('damage, message', [
    (lambda content: content[:-1] + bytes([content[-1] ^ 1]), 'its sha256 is not that of index.json'),
    (lambda content: content[:-9], r'only \d+ of \d+ bytes arrived'),
    (lambda content: content + b'x', r'more than the \d+ bytes that index.json says')])
def test_a_damaged_file_is_not_used(served, tmp_path, damage, message):
    address, folder = served
    file = folder / 'shards' / '00001.keypoints.npy'
    good = file.read_bytes()
    file.write_bytes(damage(good))
    store = SkeletonStore(address)
    with pytest.raises(UserError, match=rf'/s/shards/00001.keypoints.npy cannot be fetched \(.*{message}; 3 attempts'):
        store.keypoints(2)
    assert not [name for name in os.listdir(tmp_path / 'cache' / 'mmskelssl' / 'shards') if 'partial' in name]
    np.testing.assert_array_equal(store.keypoints(0), CLIPS[0])
    assert '00001.keypoints.npy cannot be fetched' in verify(address)[0].what
    file.write_bytes(good)
    np.testing.assert_array_equal(store.keypoints(2), CLIPS[2])


def test_a_server_that_dies_half_way(served, monkeypatch):
    address, _ = served
    monkeypatch.setattr(Handler, 'which', 'keypoints')
    monkeypatch.setattr(Handler, 'failures', 2)
    store = SkeletonStore(address)
    np.testing.assert_array_equal(store.keypoints(2), CLIPS[2])  # the third attempt
    assert Handler.asked.count('/s/shards/00001.keypoints.npy') == 3
    monkeypatch.setattr(Handler, 'failures', 3)
    with pytest.raises(UserError, match='00000.keypoints.npy cannot be fetched .* 3 attempts'):
        store.keypoints(0)
    with pytest.raises(UserError, match='index.json cannot be fetched .*404'):
        SkeletonStore(f'{address}/none')


def test_a_kept_file_that_has_changed_is_fetched_again(served, tmp_path):
    address, folder = served
    SkeletonStore(address).keypoints(2)
    digest = SkeletonStore(folder).content.shards[1].entry['files']['keypoints'][1]
    file = tmp_path / 'cache' / 'mmskelssl' / 'shards' / digest
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b'x')
    np.testing.assert_array_equal(SkeletonStore(address).keypoints(2), CLIPS[2])
    assert file.read_bytes() == content
    file.unlink()
    (tmp_path / 'precious').write_text('years of work')
    file.symlink_to(tmp_path / 'precious')
    with pytest.raises(UserError, match='cannot be used for the shards'):
        SkeletonStore(address).keypoints(2)
    assert (tmp_path / 'precious').read_text() == 'years of work'


def test_the_limit_holds(served, tmp_path, monkeypatch):
    address, folder = served
    entries = [shard.entry['files'] for shard in SkeletonStore(folder).content.shards]
    assert len(entries) == 3
    size = sum(bytes_ for entry in entries for bytes_, _ in entry.values()) - entries[0]['keypoints'][0]
    monkeypatch.setenv('MMSKELSSL_SHARD_CACHE_GB', str((size + 10) / 1e9))
    store, place = SkeletonStore(address), tmp_path / 'cache' / 'mmskelssl' / 'shards'
    for i in (0, 2, 4, 0):
        np.testing.assert_array_equal(store.keypoints(i), CLIPS[i])
        assert sum((place / name).stat().st_size for name in kept(tmp_path)) <= size + 10
    assert Handler.asked.count('/s/shards/00000.keypoints.npy') == 2  # its mapped frames were released
    monkeypatch.setenv('MMSKELSSL_SHARD_CACHE_GB', '1e-4')
    with pytest.raises(UserError, match='keypoints.npy has .* GB, more than MMSKELSSL_SHARD_CACHE_GB allows'):
        SkeletonStore(address).keypoints(2)
    monkeypatch.setenv('MMSKELSSL_SHARD_CACHE_GB', 'much')
    with pytest.raises(UserError, match="MMSKELSSL_SHARD_CACHE_GB is 'much', not a number of GB"):
        SkeletonStore(address)


def test_only_allowed_addresses_are_opened(served, monkeypatch):
    address, folder = served
    for allowed in ('', 'https://other/', f'{address}x'):
        monkeypatch.setenv('MMSKELSSL_STORES', allowed)
        with pytest.raises(UserError, match='set MMSKELSSL_STORES to the beginnings of the addresses that you trust'):
            SkeletonStore(address)
    assert not Handler.asked


def test_a_store_of_one_array_is_not_fetched(served):
    address, folder = served
    shutil.rmtree(folder)
    write(folder)
    with pytest.raises(UserError, match='is one array, which cannot be fetched in parts: import it with --shard-size'):
        SkeletonStore(address)


def test_other_addresses_are_read_by_fsspec(tmp_path, monkeypatch):
    fsspec = pytest.importorskip('fsspec')
    write(tmp_path / 's', shard_size=1)
    memory = fsspec.filesystem('memory')
    memory.put(str(tmp_path / 's'), '/bucket/s', recursive=True)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('MMSKELSSL_STORES', 'memory://bucket/ s3://')
    np.testing.assert_array_equal(SkeletonStore('memory://bucket/s').keypoints(2), CLIPS[2])
    memory.rm('/bucket', recursive=True)
    monkeypatch.setitem(sys.modules, 'fsspec', None)
    with pytest.raises(UserError, match=r'a package for such addresses is missing .*pip install "mmskelssl\[remote\]"'):
        SkeletonStore('s3://bucket/s')
    assert not remote.is_remote('data/s') and not remote.is_remote('/a://b')
