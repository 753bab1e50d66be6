"""The data set: it reads the store's samples, preprocesses once, and works with mmengine's loader."""
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset

from mmskelssl.datasets import SkeletonDataset, SkeletonStore, StoreWriter, preprocessing
from mmskelssl.datasets import skeleton_dataset as module
from mmskelssl.errors import UserError
from mmskelssl.folders import OwnFolder

PIPELINE = [dict(type='SelectPersons', max_persons=2), dict(type='Center'), dict(type='ResizeFrames', frames=12),
            dict(type='PackSkeleton')]
PAD = [dict(type='SelectPersons', max_persons=2), dict(type='PadFrames', frames=20), dict(type='PackSkeleton')]


@pytest.fixture
def store(tiny_store, tmp_path):
    """A copy of the tiny store, without its cache."""
    return shutil.copytree(tiny_store, tmp_path / 'tiny', ignore=shutil.ignore_patterns('cache'))


def edit(store, change):
    index = Path(store) / 'index.json'
    content = json.loads(index.read_text())
    change(content)
    index.write_text(json.dumps(content))


def set_rows(store, i, value):
    opened = SkeletonStore(store)
    sample = opened.samples[i]
    rows = np.load(Path(store) / 'keypoints.npy', mmap_mode='r+')
    rows[sample['offset']:sample['offset'] + sample['persons'] * sample['frames']] = value
    rows.flush()
    return sample['id']


def test_a_batch_is_the_stores_content(tiny_store):
    dataset, source = SkeletonDataset(tiny_store, 'test', PAD), SkeletonStore(tiny_store)
    batch = dataset.__getitems__([3, 0, 15])
    assert batch['inputs'].shape == (3, 3, 20, 25, 2) and batch['inputs'].dtype == torch.float32
    assert set(batch['data_samples']) == {'index', 'num_frames', 'label'}
    assert all(value.dtype == torch.int64 for value in batch['data_samples'].values())
    for row, i in enumerate([3, 0, 15]):
        position = source.ids.index(source.splits['test'][i])
        keypoints = source.keypoints(position)
        persons, frames = len(keypoints), min(20, keypoints.shape[1])
        assert batch['data_samples']['index'][row] == position
        assert batch['data_samples']['label'][row] == source.samples[position]['label']
        assert batch['data_samples']['num_frames'][row] == frames
        for m in range(2):
            for t in range(20):
                expected = keypoints[m, t] if m < persons and t < frames else np.zeros((25, 3))
                np.testing.assert_array_equal(batch['inputs'][row, :, t, :, m].T, expected)


def test_what_it_says_about_itself(tiny_store):
    dataset, source = SkeletonDataset(tiny_store, 'train', PIPELINE), SkeletonStore(tiny_store)
    assert len(dataset) == 32 and dataset.ids == source.splits['train'] and dataset.num_classes == 4
    known = {sample['id']: sample['label'] for sample in source.samples}
    assert dataset.labels.tolist() == [known[name] for name in dataset.ids]
    assert dataset.metainfo == dict(classes=source.classes, layout='ntu25', data_hash=source.data_hash, split='train')
    one, batch = dataset[5], dataset.__getitems__([4, 5])
    assert one['inputs'].shape == (3, 12, 25, 2) and one['data_samples'].keys() == batch['data_samples'].keys()
    torch.testing.assert_close(one['inputs'], batch['inputs'][1], rtol=0, atol=0)
    assert all(one['data_samples'][key] == batch['data_samples'][key][1] for key in one['data_samples'])


def test_ids_are_read_when_they_are_used(tiny_store, monkeypatch):
    """A million of them would take 100 MB in every process."""
    SkeletonDataset(tiny_store, 'test', PIPELINE)  # preprocessing names the clips
    asked = []
    monkeypatch.setattr(SkeletonStore, 'name', lambda store, i: asked.append(i) or f'clip{i:03d}')
    dataset = SkeletonDataset(tiny_store, 'test', PIPELINE)
    dataset.__getitems__([0, 1])
    assert not asked and len(dataset.ids) == 16 and not asked
    assert dataset.ids[-2] == f'clip{dataset.positions[-2]:03d}' and asked == [dataset.positions[-2]]
    assert dataset.ids[3:5] == [f'clip{i:03d}' for i in dataset.positions[3:5]]
    assert 'clip008' in dataset.ids and dataset.ids != dataset.ids[:-1]


def test_a_batch_may_be_changed_without_harm(tiny_store):
    dataset = SkeletonDataset(tiny_store, 'train', PIPELINE)
    before = dataset[0]['inputs'].clone()
    dataset.__getitems__([0])['inputs'].fill_(7)
    torch.testing.assert_close(dataset[0]['inputs'], before, rtol=0, atol=0)
    assert before.abs().sum() > 0


def test_labels_are_there_for_all_or_none(store):
    edit(store, lambda index: index['samples'][1].update(label=None))
    assert 'clip001' in SkeletonDataset(store, 'train', PIPELINE).ids
    assert set(SkeletonDataset(store, 'train', PIPELINE)[0]['data_samples']) == {'index', 'num_frames'}
    assert 'label' in SkeletonDataset(store, 'test', PIPELINE)[0]['data_samples']


def test_a_label_beyond_the_classes_is_named(store):
    edit(store, lambda index: index['samples'][8].update(label=4))
    with pytest.raises(UserError, match='sample clip008 has label 4, but there are 4 classes'):
        SkeletonDataset(store, 'test', PIPELINE)


def test_held_clips_are_those_of_the_final_positions(tiny_store):
    class LastClips(SkeletonDataset):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.positions, self.labels, self.ids = self.positions[-5:], self.labels[-5:], self.ids[-5:]

    read, held = (LastClips(tiny_store, 'train', PIPELINE, resident=where) for where in (None, 'device'))
    assert len(held) == 5
    torch.testing.assert_close(held.__getitems__([0, 3])['inputs'].cpu(), read.__getitems__([0, 3])['inputs'],
                               rtol=0, atol=0)
    assert len(held.held) == 5


def arrays(store):
    return len(list((store / 'cache').glob('*.npy')))


def test_the_pipeline_runs_once(store, monkeypatch):
    runs = []
    real = preprocessing.preprocess_sample
    monkeypatch.setattr(preprocessing, 'preprocess_sample', lambda *args: runs.append(1) or real(*args))
    first = SkeletonDataset(store, 'train', PIPELINE)
    assert len(runs) == 48 and arrays(store) == 2
    again = SkeletonDataset(store, 'test', [dict(step) for step in PIPELINE])
    assert len(runs) == 48 and isinstance(again.clips, np.memmap)
    np.testing.assert_array_equal(first.clips, again.clips)
    SkeletonDataset(store, 'test', PAD)
    assert len(runs) == 96, 'another pipeline is another cache'
    edit(store, lambda index: index.update(sha256='other'))
    SkeletonDataset(store, 'test', PAD)
    assert len(runs) == 144, 'other data are another cache'


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(store, monkeypatch):
    """After a SIGKILL at the second of six parts, only the rest is computed, and the result is the same."""
    code = f"""
import os, signal
from mmskelssl.datasets import SkeletonDataset, preprocessing
preprocessing.PART = 8
real = preprocessing._part
def part(path, data_hash, pipeline, rows):
    if rows.start == 16:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, data_hash, pipeline, rows)
preprocessing._part = part
SkeletonDataset({str(store)!r}, 'train', {PIPELINE!r})
"""
    assert subprocess.run([sys.executable, '-c', code]).returncode == -signal.SIGKILL
    assert arrays(store) == 0
    runs, real = [], preprocessing.preprocess_sample
    monkeypatch.setattr(preprocessing, 'preprocess_sample', lambda *args: runs.append(args[1]) or real(*args))
    monkeypatch.setattr(preprocessing, 'PART', 8)
    resumed = SkeletonDataset(store, 'train', PIPELINE)
    assert runs == list(range(16, 48)) and arrays(store) == 2
    whole = SkeletonDataset(store, 'train', PIPELINE, cache_dir=str(store / 'again'))
    np.testing.assert_array_equal(resumed.clips, whole.clips)
    np.testing.assert_array_equal(resumed.num_frames, whole.num_frames)
    assert sorted(path.suffix for path in (store / 'cache').iterdir()) == ['.json', '.lock', '.npy', '.npy']


@pytest.mark.slow
def test_processes_make_what_one_makes(store, monkeypatch):
    monkeypatch.setattr(preprocessing, 'PART', 8)
    for jobs in (1, 2):
        preprocessing.preprocess(SkeletonStore(store), PIPELINE, OwnFolder(str(store)), str(jobs), jobs)
    for name in ('.npy.partial', '.frames.npy.partial'):
        np.testing.assert_array_equal(np.load(store / f'1{name}'), np.load(store / f'2{name}'))


def test_a_failure_leaves_no_cache(store):
    name = set_rows(store, 17, np.nan)
    with pytest.raises(UserError, match=f'tiny: sample {name} contains NaN'):
        SkeletonDataset(store, 'train', PIPELINE)
    assert [name for name in os.listdir(store / 'cache') if not name.endswith('.lock')] == []
    set_rows(store, 17, 0)
    with pytest.raises(UserError, match=f'sample {name}: every coordinate is zero'):
        SkeletonDataset(store, 'train', PIPELINE)
    assert [name for name in os.listdir(store / 'cache') if not name.endswith('.lock')] == []


def test_two_builders_at_once_do_not_disturb_each_other(store, monkeypatch):
    """The second process waits for the first and uses its result."""
    real, runs, datasets, failures = module.preprocess, [], [], []

    def slow(*args):
        runs.append(1)
        time.sleep(.5)
        real(*args)
    monkeypatch.setattr(module, 'preprocess', slow)

    def work():
        try:
            datasets.append(SkeletonDataset(store, 'train', PIPELINE))
        except Exception as error:
            failures.append(error)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and len(datasets) == 2 and arrays(store) == 2 and len(runs) == 1
    np.testing.assert_array_equal(datasets[0].clips, datasets[1].clips)


def test_a_read_only_store_is_cached_elsewhere(store, tmp_path, monkeypatch):
    real = os.mkdir

    def refuse(path, *args, **kwargs):
        if str(path).startswith(str(store)):
            raise PermissionError(13, 'Permission denied')
        real(path, *args, **kwargs)
    monkeypatch.setattr(os, 'mkdir', refuse)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'elsewhere'))
    assert len(SkeletonDataset(store, 'train', PIPELINE)) == 32
    cache = tmp_path / 'elsewhere' / 'mmskelssl'
    assert not (store / 'cache').exists() and len(list(cache.glob('*.npy'))) == 2
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_the_cache_may_live_in_a_folder_of_choice(store, tmp_path):
    SkeletonDataset(store, 'train', PIPELINE, cache_dir=str(tmp_path / 'mine'))
    assert len(list((tmp_path / 'mine').glob('*.npy'))) == 2 and not (store / 'cache').exists()


def test_mistakes_are_named(store):
    with pytest.raises(UserError, match=r'python tools/prepare_data\.py'):
        SkeletonDataset(str(store) + '_not', 'train', PIPELINE)
    with pytest.raises(UserError, match="no split 'val'; it has train, test"):
        SkeletonDataset(store, 'val', PIPELINE)
    with pytest.raises(UserError, match='must end with .*PackSkeleton'):
        SkeletonDataset(store, 'train', PIPELINE[:-1])


def test_a_sent_data_set_opens_its_files_anew(tiny_store):
    dataset = SkeletonDataset(tiny_store, 'train', PIPELINE)
    sent = pickle.dumps(dataset)
    assert len(sent) < 20_000 < dataset.clips.nbytes, 'no clip travels'
    received = pickle.loads(sent)
    assert isinstance(received.clips, np.memmap) and received.ids == dataset.ids
    torch.testing.assert_close(received[1], dataset[1], rtol=0, atol=0)


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('collate', ['whole_batch', 'mmskelssl.whole_batch'])
def test_mmengines_loader(tiny_store, workers, collate):
    config = dict(batch_size=8, num_workers=workers, collate_fn=dict(type=collate),
                  dataset=dict(type='SkeletonDataset', store=tiny_store, split='train', pipeline=PIPELINE),
                  sampler=dict(type='DefaultSampler', shuffle=True))
    with DefaultScope.overwrite_default_scope('mmskelssl'):
        loader = Runner.build_dataloader(config, seed=0)
    dataset = SkeletonDataset(tiny_store, 'train', PIPELINE)
    seen = []
    for batch in loader:
        assert batch['inputs'].shape == (8, 3, 12, 25, 2)
        positions = batch['data_samples']['index']
        seen += positions.tolist()
        np.testing.assert_array_equal(batch['inputs'], dataset.clips[positions.numpy()])
        np.testing.assert_array_equal(batch['data_samples']['label'], dataset.store.labels[positions.numpy()])
    assert sorted(seen) == dataset.positions.tolist() and seen != sorted(seen)


def test_loaders_over_wrapped_data_sets(tiny_store):
    """A wrapper without ``__getitems__`` hands the collate function a list of samples."""
    class Wrapper(torch.utils.data.Dataset):
        def __init__(self, dataset):
            self.dataset = dataset

        def __len__(self):
            return 5

        def __getitem__(self, i):
            return self.dataset[i]

    dataset = SkeletonDataset(tiny_store, 'train', PIPELINE)
    for wrapped in (Subset(dataset, range(5)), Wrapper(dataset)):
        batch = next(iter(DataLoader(wrapped, batch_size=5, collate_fn=module.whole_batch)))
        torch.testing.assert_close(batch, dataset.__getitems__(list(range(5))), rtol=0, atol=0)


def test_one_person_of_twenty_joints(tiny_kinect_store):
    pipeline = [dict(type='SelectPersons', max_persons=1), dict(type='AlignSequence'),
                dict(type='ResizeFrames', frames=16), dict(type='AlignShoulders'), dict(type='PackSkeleton')]
    batch = SkeletonDataset(tiny_kinect_store, 'all', pipeline).__getitems__(list(range(48)))
    assert batch['inputs'].shape == (48, 3, 16, 20, 1) and batch['inputs'].isfinite().all()


def test_the_samples_of_one_store_have_one_shape(tmp_path):
    with StoreWriter(tmp_path / 's', 'sbu15') as writer:
        for i, frames in enumerate((4, 5)):
            writer.add(f's{i}', np.random.default_rng(i).normal(size=(1, frames, 15, 3)), label=i)
    with pytest.raises(UserError, match=r'sample s1 .*\(3, 5, 15, 1\).*\(3, 4, 15, 1\).*ResizeFrames or PadFrames'):
        SkeletonDataset(tmp_path / 's', 'all', [dict(type='PackSkeleton')])
