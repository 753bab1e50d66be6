"""Bad data are reported, refused or corrected by a documented rule, and never trained on silently."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import ROOT, Run, weights_turn_nan

from mmskelssl.datasets import SkeletonDataset, SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.engine.config import complete, load_config
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features
from mmskelssl.evaluation.knn import knn_classify
from mmskelssl.evaluation.protocols import evaluate

pytestmark = pytest.mark.slow
PIPELINE = [dict(type='SelectPersons'), dict(type='AlignSequence'), dict(type='ResizeFrames', frames=8),
            dict(type='PackSkeleton')]
ONE = {'train_cfg.max_epochs': 1}


def clip(persons=1, frames=4, joints=25, seed=0):
    return np.random.default_rng(seed).normal(size=(persons, frames, joints, 3)).astype(np.float32)


def config(store, **changes):
    cfg = load_config(f'{ROOT}/configs/skeletonclr_toy.py', {'data.store': store, **changes})[-1][1]
    return complete(cfg, 0)[0]


class Runs:
    """Creates a file if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.fault('F10', 'object arrays in keypoints.npy and index.npz, a header that declares 10 TB')
def test_arrays_that_are_none(own_store, tmp_path, lost, record_property):
    made, store = tmp_path / 'made', Path(own_store)
    np.savez(store / 'index.npz', belongs_to=np.array([Runs(made)], object), head=np.array([Runs(made)], object))
    assert len(SkeletonStore(own_store)) == 48 and not made.exists()  # the JSON contains everything
    np.save(store / 'keypoints.npy', np.array([Runs(made), 1], object), allow_pickle=True)
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(own_store)
    with open(store / 'keypoints.npy', 'wb') as file:
        shape = (10 ** 13 // 300, 25, 3)
        np.lib.format.write_array_header_2_0(file, dict(descr='<f4', fortran_order=False, shape=shape))
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(own_store)
    assert not made.exists()
    record_property('tried', 3)
    lost('nothing')


@pytest.mark.fault('F11', 'NaN or Inf in a clip before it reaches the model, in float32 and bfloat16; a step that '
                   'corrupts the weights; a loss that diverges')
@pytest.mark.parametrize('value, arguments', [(np.nan, ()), (np.inf, ('--amp',))])
def test_clip_that_is_not_finite(own_store, tmp_path, lost, value, arguments):
    index = Path(own_store) / 'index.json'
    content = json.loads(index.read_text())
    del content['splits']['test']  # otherwise KNNHook would read all clips before the first step and report this one
    index.write_text(json.dumps(content))
    assert Run(own_store, tmp_path / 'first', options=ONE).end() == 0  # this preprocesses the clips
    cache = next(path for path in (Path(own_store) / 'cache').glob('*.npy') if 'frames' not in path.name)
    store = SkeletonStore(own_store)
    np.load(cache, mmap_mode='r+')[store.split('train')[5], 1, 2] = value
    run = Run(own_store, tmp_path / 'w', *arguments, options=ONE)
    name = store.ids[store.split('train')[5]]
    assert run.end() == 2 and f'the clips of {name} are not finite' in run.error, run.output[-3000:]
    dump = np.load(next((tmp_path / 'w').glob('non_finite_iter_*_rank0.npz')))
    assert name in dump['ids'] and not np.isfinite(dump['inputs'][dump['ids'].tolist().index(name)]).all()
    assert len(dump['ids']) == 8 and not list((tmp_path / 'w').glob('*.pth'))
    lost('nothing valid: no checkpoint contains a NaN')


@pytest.mark.fault('F11', 'NaN or Inf in a clip before it reaches the model, in float32 and bfloat16; a step that '
                   'corrupts the weights; a loss that diverges')
@pytest.mark.parametrize('inject, options, message', [
    (weights_turn_nan, {}, 'holds NaN or infinite values after iteration 8, so nothing is saved'),
    (None, {'optim_wrapper.optimizer.lr': 1e38}, 'its clips are finite: lower the learning rate')])
def test_training_that_diverges(tiny_store, tmp_path, inject, options, message):
    run = Run(tiny_store, tmp_path / 'w', inject=inject, inject_args=(8,) if inject else (), options=options)
    assert run.end() == 2 and message in run.error, run.output[-3000:]
    for path in (tmp_path / 'w').glob('*.pth'):
        state = torch.load(path, weights_only=True)['state_dict']
        assert all(value.isfinite().all() for value in state.values()), path


@pytest.mark.fault('F12', 'no person, no frame, a body of zeros; one frame, a missing joint, five persons, both '
                   'shoulders at one point')
def test_odd_clips(tmp_path, lost, record_property):
    flat, missing = clip(seed=1), clip(seed=2)
    flat[:, :, 4:9], missing[:, :, 7] = flat[:, :, 4:5], 0
    odd = dict(one_frame=clip(frames=1), missing=missing, five=clip(5), two=clip(2), one=clip(1), flat=flat,
               part=np.concatenate([clip(), np.zeros((1, 4, 25, 3), np.float32)]))
    with StoreWriter(tmp_path / 's', 'ntu25') as writer:
        for bad in (clip()[:0], clip()[:, :0]):
            with pytest.raises(UserError, match='sample bad: empty sequence'):
                writer.add('bad', bad)
        for name, keypoints in odd.items():
            writer.add(name, keypoints)
        writer.set_split('train', list(odd))
    for turn in (dict(type='AlignSequence'), dict(type='AlignShoulders')):
        batch = SkeletonDataset(str(tmp_path / 's'), 'train', [PIPELINE[0], turn, *PIPELINE[2:]]).__getitems__(range(7))
        assert batch['inputs'].shape == (7, 3, 8, 25, 2) and batch['inputs'].isfinite().all()
        assert not batch['inputs'][4, ..., 1].any() and batch['inputs'][3, ..., 1].any()
    with StoreWriter(tmp_path / 'zeros', 'ntu25') as writer:
        writer.add('nobody', 0 * clip())
        writer.set_split('train', ['nobody'])
    with pytest.raises(UserError, match='sample nobody: every coordinate is zero'):
        SkeletonDataset(str(tmp_path / 'zeros'), 'train', PIPELINE)
    record_property('tried', len(odd) + 3)
    lost('nothing')


@pytest.mark.fault('F13', '17 joints with 2 coordinates for a layout of 25 by 3; a store with a different skeleton')
def test_another_skeleton(tiny_kinect_store, tmp_path, lost, record_property):
    with pytest.raises(UserError, match=r"sample a: keypoints have shape \(1, 4, 17, 2\); layout 'ntu25' needs"):
        with StoreWriter(tmp_path / 's', 'ntu25') as writer:
            writer.add('a', np.zeros((1, 4, 17, 2)))
    assert not (tmp_path / 's').exists()
    with pytest.raises(UserError, match=r"layout 'kinect20' \(20 joints\), but the config expects 'ntu25' \(25"):
        config(tiny_kinect_store, **{'model.backbone.layout': 'ntu25'})
    with pytest.raises(UserError, match='in_channels is 2, but'):
        config(tiny_kinect_store, **{'model.backbone.in_channels': 2})
    record_property('tried', 3)
    lost('nothing')


@pytest.mark.fault('F14', 'a split that is missing, empty, or names unknown or repeated samples; one clip in training '
                   'and test')
def test_splits(own_store, lost, record_property):
    with pytest.raises(UserError, match="no split 'xset_train'; it has train, test"):
        config(own_store, **{'data.split': 'xset'})
    index = Path(own_store) / 'index.json'
    content = json.loads(index.read_text())
    first, second = content['splits']['train'][:2]
    for ids, message in (([], 'is empty'), (['nobody'], 'names 1 unknown samples'),
                         ([first, second, first], 'names a sample twice')):
        index.write_text(json.dumps({**content, 'splits': dict(content['splits'], train=ids)}))
        with pytest.raises(UserError, match=message):
            config(own_store)
    content['samples'][1]['id'] = content['samples'][0]['id']
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match='appears twice'):
        SkeletonStore(own_store).positions  # noqa: B018
    train = Features(np.eye(3, dtype=np.float32), np.arange(3), ['a', 'b', 'c'])
    with pytest.raises(UserError, match='sample b is in the training and the test split'):
        evaluate(train, train.take([1]), 'knn')
    record_property('tried', 6)
    lost('nothing')


@pytest.mark.fault('F15', 'labels outside the classes, negative or not a number; no labels at all')
def test_labels(tmp_path, lost, record_property):
    with StoreWriter(tmp_path / 's', 'ntu25', classes=['a', 'b']) as writer:
        for label, message in ((-1, 'negative'), ('one', 'must be integers'), (1.5, 'must be integers')):
            with pytest.raises(UserError, match=f'sample x: label.*{message}'):
                writer.add('x', clip(), label)
        writer.add('good', clip(), 1)
        writer.add('beyond', clip(), 2)
        writer.set_split('train', ['good', 'beyond'])
    with pytest.raises(UserError, match='sample beyond has label 2, but there are 2 classes'):
        SkeletonDataset(str(tmp_path / 's'), 'train', PIPELINE)
    with StoreWriter(tmp_path / 'plain', 'ntu25') as writer:
        for i in range(16):
            writer.add(f'clip{i}', clip(2, 6, seed=i))
        writer.set_split('train', [f'clip{i}' for i in range(16)])
    run = Run(str(tmp_path / 'plain'), tmp_path / 'w', options=ONE)
    assert run.end() == 0, run.output[-3000:]  # pre-training does not need them
    bank = Features(np.eye(3, dtype=np.float32), np.array([0, -1, 1]), ['a', 'b', 'c'])
    with pytest.raises(UserError, match='sample b of the training split has no label'):
        evaluate(bank, Features(bank.feats, np.arange(3), ['d', 'e', 'f']), 'linear')
    record_property('tried', 6)
    lost('nothing')


@pytest.mark.fault('F16', 'source files that are truncated or empty, or contain stray text, NaN, an invalid body or a '
                   'foreign name')
def test_source_files(tmp_path, lost, record_property):
    folder = tmp_path / 'json'
    folder.mkdir()
    good = json.dumps(dict(file_name='x', skeletons=clip(1, 5, 20)[0].tolist(), label=3))
    names = [f'a03_s0{i % 5 + 1}_e{i:02d}_v0{i % 3 + 1}' for i in range(10)]
    spoilt = dict(zip(names[3:], (good[:len(good) // 2], '', good + 'stray', good.replace('"label": 3', '"label": 30'),
                                  good.replace('[[[', '[[', 1), json.dumps([1, 2]), good[:-1] + ', "label": null}'),
                      strict=True))
    for name in names[:3]:
        (folder / f'{name}.json').write_text(good.replace(', ', ',\r\n '))  # line endings of another system
    for name, text in spoilt.items():
        (folder / f'{name}.json').write_text(text)
    (folder / 'notes.json').write_text(good)
    with StoreWriter(tmp_path / 's', 'kinect20') as writer:
        IMPORTERS['nwucla'](str(folder), writer)
    store = SkeletonStore(tmp_path / 's')
    assert sorted(store.ids) == names[:3]
    skipped = {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}
    assert {name.split('.')[0] for name in skipped} == {*spoilt, 'notes'} and all(skipped.values())
    record_property('tried', len(skipped) + 1)
    lost('the clips of those files, each listed with its reason')


@pytest.mark.fault('F16', 'source files that are truncated or empty, or contain stray text, NaN, an invalid body or a '
                   'foreign name')
def test_ntu_files(tmp_path, lost, record_property):
    folder, body = tmp_path / 'raw', ' '.join(['720', *'012345678'])
    folder.mkdir()
    joints = '\n'.join(' '.join(f'{value:.3f}' for value in row) for row in clip(frames=12, seed=3)[0].reshape(25, 36))
    joints = '\n'.join(' '.join(line.split()[:12]) for line in joints.splitlines())
    frame = f'1\n{body}\n25\n{joints}\n'
    good = '3\n' + 3 * frame
    spoilt = [good[:len(good) // 2], '', good + 'stray\n', good.replace('\n25\n', '\n24\n', 1), '0\n',
              good.replace('\n25\n', '\nx\n', 1), '3\n' + 3 * '0\n']
    names = [f'S001C00{i % 3 + 1}P00{i % 2 + 1}R001A{i + 1:03d}' for i in range(9)]
    for name, text in zip(names, [good, good.replace('\n', '\r\n'), *spoilt], strict=True):
        (folder / f'{name}.skeleton').write_bytes(text.encode())
    (folder / 'A1.skeleton').write_text(good)
    with StoreWriter(tmp_path / 's', 'ntu25') as writer:
        IMPORTERS['ntu60'](str(folder), writer, jobs=1)
    store = SkeletonStore(tmp_path / 's')
    assert store.ids == names[:2] and (store.keypoints(0) == store.keypoints(1)).all()
    skipped = {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}
    assert {name.split('.')[0] for name in skipped} == {*names[2:], 'A1'} and all(skipped.values())
    assert all('line ' in skipped[name] for name in skipped if name[:25].split('.')[0] in names[2:8])
    record_property('tried', len(skipped) + 1)
    lost('the clips of those files, each listed with its reason')


@pytest.mark.fault('F23', 'more neighbours than clips, classes without clips, features of length zero, NaN features')
def test_neighbours(lost, record_property):
    rng = np.random.default_rng(0)
    bank, labels, queries = rng.normal(size=(5, 4)), np.array([0, 0, 3, 3, 3]), rng.normal(size=(7, 4))
    bank[1], queries[2] = 0, 0
    similarity = np.nan_to_num(queries / np.linalg.norm(queries, axis=1, keepdims=True).clip(1e-12)) @ np.nan_to_num(
        bank / np.linalg.norm(bank, axis=1, keepdims=True).clip(1e-12)).T
    made = knn_classify(bank, labels, queries, [1, 50])
    assert (made[50] == 3).all()
    rows = [0, 1, 3, 4, 5, 6]
    assert (made[1][rows] == labels[similarity.argmax(1)][rows]).all()
    for spoil in (np.nan, np.inf):
        bank[3, 2] = spoil
        with pytest.raises(UserError, match='KNN: bank row 3 is not finite'):
            knn_classify(bank, labels, queries)
    record_property('tried', 5)
    lost('nothing')


@pytest.mark.fault('F24', 'score files that are shuffled, have missing or additional clips, or have different classes')
def test_ensembles(lost, record_property):
    scores = pytest.importorskip('mmskelssl.evaluation.scores', reason='this version has no ensembles')
    first = scores.Scores(['a', 'b', 'c'], np.eye(3, dtype=np.float32), np.arange(3))
    shuffled = scores.Scores(['c', 'a', 'b'], 2 * np.eye(3, dtype=np.float32)[[2, 0, 1]], np.array([2, 0, 1]))
    ids, joined, labels = scores.join([first, shuffled], ['one', 'two'])
    assert ids == first.ids and (joined[1] == 2 * joined[0]).all() and (labels == first.labels).all()
    for other, message in (
            (scores.Scores(['a', 'b'], first.scores[:2], first.labels[:2]), '1 are only in the first and 0 only in'),
            (scores.Scores([*'abcd'], np.eye(4, 3), np.array([0, 1, 2, 0])), '0 are only in the first and 1 only in'),
            (scores.Scores([*'abc'], np.eye(3, 4), first.labels), 'one has 3 classes, but two has 4'),
            (scores.Scores([*'abc'], first.scores, np.array([0, 1, 1])), "sample 'c' different labels")):
        with pytest.raises(UserError, match=message):
            scores.join([first, other], ['one', 'two'])
    record_property('tried', 5)
    lost('nothing')


@pytest.mark.fault('F26', 'a store whose frames or labels are changed after it was created')
def test_edited_store(own_store, tmp_path, lost, record_property):
    run = Run(own_store, tmp_path / 'w', options=ONE)
    assert run.end() == 0, run.output[-3000:]
    index = Path(own_store) / 'index.json'
    original = index.read_text()
    content = json.loads(original)
    content['samples'][0]['label'] += 1
    index.write_text(json.dumps(content))
    changed = Run(own_store, tmp_path / 'w', '--resume', options=ONE)
    assert changed.end() == 2 and 'data_hash was' in changed.error, changed.output[-3000:]
    index.write_text(original)
    frames = np.load(Path(own_store) / 'keypoints.npy', mmap_mode='r+')
    frames[100, 3, 1] += 1
    frames.flush()
    for arguments in ([], ['--resume']):
        changed = Run(own_store, tmp_path / ('w' if arguments else 'new'), *arguments, options=ONE)
        assert changed.end() == 2 and 'keypoints.npy has changed since it was written' in changed.error
    record_property('tried', 3)
    lost('nothing')
