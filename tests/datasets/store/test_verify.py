"""verify: single faults added to a valid store, and the duplicates in NW-UCLA."""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mmskelssl.atomic import file_hash
from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import import_pyskl
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.verify import print_report, split_pairs, verify
from tests.conftest import write_tiny_store
from tools import prepare_data


@pytest.fixture
def store(tmp_path):
    return Path(write_tiny_store(tmp_path / 'store', 'kinect20', persons=2, samples=12, classes=3))


def edit(store, change, hashed=True):
    """Change the index and the frames; ``hashed`` updates the hash."""
    index = json.loads((store / 'index.json').read_text())
    rows = np.load(store / 'keypoints.npy')
    changed = change(index, rows)
    rows = rows if changed is None else changed
    np.save(store / 'keypoints.npy', rows)
    if hashed:
        index['sha256'] = file_hash(str(store / 'keypoints.npy'))
    (store / 'index.json').write_text(json.dumps(index))


def rows_of(index, i):
    sample = index['samples'][i]
    return slice(sample['offset'], sample['offset'] + sample['persons'] * sample['frames'])


def put(i, value, rows_within=slice(None)):
    def change(index, rows):
        start = rows_of(index, i)
        rows[start][rows_within] = value
        return rows
    return change


def copy(source, target):
    """Copy the coordinates of ``source`` to ``target``; both clips get the same length."""
    def change(index, rows):
        a, b = index['samples'][source], index['samples'][target]
        parts = [rows[rows_of(index, i)] for i in range(len(index['samples']))]
        parts[target] = parts[source].copy()
        b.update(persons=a['persons'], frames=a['frames'])
        start = 0
        for sample in index['samples']:
            sample['offset'] = start
            start += sample['persons'] * sample['frames']
        return np.concatenate(parts)
    return change


def update(i, **values):
    return lambda index, rows: index['samples'][i].update(values)


def splits(**values):
    return lambda index, rows: index['splits'].update(values)


def faults_of(path, **options):
    return {fault.what: (fault.samples, fault.fatal) for fault in verify(str(path), **options)}


def test_a_sound_store_has_none(store, capsys):
    assert verify(str(store)) == [] and print_report([]) == 0
    assert capsys.readouterr().out == 'no fault found\n'


FAULTS = {
    'NaN': (put(2, np.nan, slice(0, 1)), 'NaN or Inf', ('clip002',), True),
    'Inf': (put(3, -np.inf, slice(1, 2)), 'NaN or Inf', ('clip003',), True),
    'nobody': (put(4, 0), 'every coordinate is zero, there is no body in it', ('clip004',), True),
    'zero frames': (put(0, 0, slice(0, 2)), 'frames without a body', ('clip000',), False),
    'zero person': (lambda index, rows: put(1, 0, slice(0, index['samples'][1]['frames']))(index, rows),
                    'a person who is never seen', ('clip001',), False),
    'label': (update(5, label=3), 'label outside 0..2', ('clip005',), True),
    'id': (lambda index, rows: [index['samples'][7].update(id='clip006'),
                                index['splits'].update(train=['clip000'], test=['clip011'])][:0] or None,
           'the id appears twice', ('clip006',), True),
    'split ghost': (splits(train=['clip000', 'ghost']), "split 'train' names unknown samples", ('ghost',),
                    True),
    'split twice': (splits(train=['clip000', 'clip001', 'clip000']), "split 'train' names a sample twice",
                    ('clip000',), True),
    'split empty': (splits(other=[]), "split 'other' is empty", (), True),
    'leak': (splits(train=['clip000', 'clip009'], test=['clip009', 'clip010']),
             "samples of 'test' are also in 'train'", ('clip009',), True),
    'twins': (copy(0, 9), "exact duplicates across splits: 1 of 4 samples of 'test' have the coordinates of one of "
              "'train'", ('clip009',), False),
    'twins in a pair': (lambda index, rows: [index['splits'].update(x_train=['clip001'], x_test=['clip002', 'clip003'])]
                        and copy(1, 3)(index, rows),
                        "exact duplicates across splits: 1 of 2 samples of 'x_test' have the coordinates of one of "
                        "'x_train'", ('clip003',), False),
    'same': (copy(0, 1), 'the same coordinates appear more than once in the store', ('clip000', 'clip001'), False),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_each_fault_is_found_and_mended(store, tmp_path, fault, capsys):
    change, what, samples, fatal = FAULTS[fault]
    edit(store, change)
    found = verify(str(store))
    assert (what, samples, fatal) in {(one.what, one.samples, one.fatal) for one in found}
    assert all(not one.fatal for one in found if one.what != what)
    assert print_report(found) == int(fatal)
    out = capsys.readouterr().out
    assert f'{"FAULT" if fatal else "note "} {what}' in out and f'{int(fatal)} faults' in out
    repair(str(store), str(tmp_path / 'mended'), drop_twins=True)
    left = faults_of(tmp_path / 'mended')
    assert not any(one for _, one in left.values()) and what not in left or what.startswith('the same coordinates')


def test_a_single_frame_is_noted(tmp_path):
    with StoreWriter(tmp_path / 's', 'kinect20') as writer:
        writer.add('one', np.ones((1, 1, 20, 3)))
    assert faults_of(tmp_path / 's') == {'a single frame': (('one',), False)}


def test_changed_frames_are_found(store):
    edit(store, put(2, 1.5, slice(0, 1)), hashed=False)
    assert faults_of(store) == {'the frames have changed since they were written (another sha256)': ((), True)}


@pytest.mark.parametrize('change, message', [
    (lambda index, rows: rows[:-1], 'the store is incomplete'),
    (lambda index, rows: rows[:, :19], 'the store is incomplete'),
    (lambda index, rows: rows.astype(np.float64), 'is float64'),
    (lambda index, rows: index.update(layout='ntu25'), 'describes float32'),
    (lambda index, rows: index.update(layout='nothing'), 'unknown layout'),
    (update(3, frames=0), 'frames is 0'), (update(3, offset=1), 'does not follow the sample before'),
    (update(5, label=-7), 'label -7 is not an integer from 0 to 65535'), (update(3, label='walk'), 'is damaged'),
    (lambda index, rows: index.pop('splits') and None, 'is damaged'),
    (lambda index, rows: index.update(splits=[1]), 'is damaged'),
    (lambda index, rows: index['splits'].update(train=5), 'is damaged'),
    (lambda index, rows: index['splits'].update(train=[[1]]), 'is damaged'),
    (splits(train=[1, 2]), '1 is not a valid name'),
])
def test_what_cannot_be_opened_is_one_fault(store, change, message):
    edit(store, change)
    fault, = verify(str(store))
    assert message in fault.what and fault.fatal and '\n' not in fault.what


def test_split_pairs():
    assert split_pairs(['train', 'test', 'x_train', 'x_test', 'y_train', 'z_test', 'test_clean']) == [
        ('train', 'test'), ('x_train', 'x_test')]


def test_the_tool_says_what_it_found(store, monkeypatch, capsys):
    def status(path):
        monkeypatch.setattr(sys, 'argv', ['tool', 'verify', str(path)])
        try:
            prepare_data.main()
        except SystemExit as stop:
            return stop.code
        return 0

    assert status(store) == 0 and 'no fault found' in capsys.readouterr().out
    shutil.rmtree(store)
    assert status(store) == 1 and 'is not a store' in capsys.readouterr().out


@pytest.mark.slow
def test_nwuclas_leak_is_found_and_mended(real_data, tmp_path):
    with StoreWriter(tmp_path / 's') as writer:
        import_pyskl(str(real_data / 'nw_ucla.pkl'), writer, layout='kinect20')
    faults = faults_of(tmp_path / 's', near=.05)
    near, = (what for what in faults if 'near duplicates' in what)  # none more than the exact ones, none across xsub
    assert near.startswith("near duplicates across splits: 95 of 464 samples of 'test' move like one of 'train'")
    samples, fatal = faults["exact duplicates across splits: 95 of 464 samples of 'test' have the coordinates of one "
                            "of 'train'"]
    store = SkeletonStore(tmp_path / 's')
    assert {text.split()[0].rstrip(',') for text in faults[near][0]} == set(samples)
    assert list(samples) == [name for name in store.splits['test'] if name in set(store.splits['test_twins'])]
    assert not fatal and not any(one for _, one in faults.values())
    repair(str(tmp_path / 's'), str(tmp_path / 'mended'), drop_twins=True)
    mended = SkeletonStore(tmp_path / 'mended')
    assert mended.splits['test'] == store.splits['test_clean'] and len(mended) == 1484
    assert not [what for what in faults_of(tmp_path / 'mended') if 'duplicates across' in what]
