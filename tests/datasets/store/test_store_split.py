"""split, relabel and subset."""
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.store.relabel import relabel
from mmskelssl.datasets.store.split import draw_split, recording_of
from mmskelssl.datasets.store.subset import subset
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError

CLASSES = ['sit', 'stand', 'wave']


def write(path, samples=30, name='clip{:02d}', classes=CLASSES, subjects=5, labels=True):
    with StoreWriter(path, 'sbu15', classes=classes) as writer:
        for i in range(samples):
            clip = np.random.default_rng(i).normal(size=(1, 4, 15, 3))
            writer.add(name.format(i), clip, i % 3 if labels else None, subject=i % subjects if subjects else None)
    return str(path)


def sides(path, name=''):
    store = SkeletonStore(path)
    return [store.split(f'{name}{"_" if name else ""}{part}') for part in ('train', 'test')]


def test_a_share_of_each_class(tmp_path, capsys):
    path = write(tmp_path / 's')
    frames, before = (tmp_path / 's/keypoints.npy').read_bytes(), SkeletonStore(path).data_hash
    draw_split(path, .2, seed=1)
    store, (train, test) = SkeletonStore(path), sides(path)
    assert [np.bincount(store.labels[side]).tolist() for side in (train, test)] == [[8] * 3, [2] * 3]
    assert not set(train) & set(test) and not verify(path) and store.data_hash != before
    assert (tmp_path / 's/keypoints.npy').read_bytes() == frames
    edit, = store.index['provenance']['edits']
    assert edit['command'] == 'split' and edit['options'] == dict(share=.2, seed=1, by='class', name='', train=24,
                                                                  test=6)
    out = capsys.readouterr().out
    assert 'train 24, test 6 samples, drawn by class with seed 1' in out and 'data.split=standard' in out
    draw_split(path, .2, seed=1, name='same')
    draw_split(path, .2, seed=2, name='other')
    assert [side.tolist() for side in sides(path, 'same')] == [train.tolist(), test.tolist()]
    assert sides(path, 'other')[1].tolist() != test.tolist()
    assert [edit['options']['name'] for edit in SkeletonStore(path).index['provenance']['edits']] == ['', 'same',
                                                                                                      'other']


@pytest.mark.parametrize('by', ['subject', 'recording'])
@pytest.mark.parametrize('seed', range(5))
def test_a_subject_and_a_recording_stay_on_one_side(tmp_path, by, seed):
    path = write(tmp_path / 's', 36, 'S001C{:03d}', subjects=0)
    index = json.loads((tmp_path / 's/index.json').read_text())
    for i, sample in enumerate(index['samples']):  # twelve performances of four subjects in front of three cameras
        sample |= dict(id=f'S001C00{i % 3}P00{i // 9}R001A{i // 3:03d}', subject=i // 9)
    (tmp_path / 's/index.json').write_text(json.dumps(index))
    draw_split(path, .25, seed, by)
    store, (train, test) = SkeletonStore(path), sides(path)
    key = (lambda i: store.samples[i]['subject']) if by == 'subject' else lambda i: store.ids[i].replace(
        store.ids[i][4:8], '')
    assert not {key(i) for i in train} & {key(i) for i in test} and len(test) == 9


def test_recordings_are_read_from_names():
    assert recording_of(dict(id='S001C002P003R001A013')) == recording_of(dict(id='S001C001P003R001A013'))
    assert recording_of(dict(id='nw/a01_s01_e01_v02')) == recording_of(dict(id='nw/a01_s01_e01_v03'))
    assert recording_of(dict(id='a01_s01_e01_v02')) != recording_of(dict(id='a01_s01_e02_v02'))
    assert recording_of(dict(id='x/a01_s01_e01_v02')) != recording_of(dict(id='y/a01_s01_e01_v02'))
    assert recording_of(dict(id='walk')) is None and recording_of(dict(id='a', recording='0012-L')) == '0012-L'


def test_shares_that_do_not_come_out(tmp_path, capsys):
    path = write(tmp_path / 's', 10, subjects=2)
    draw_split(path, .01, by='subject', name='a')  # a whole subject, rather than none
    assert [len(side) for side in sides(path, 'a')] == [5, 5]
    draw_split(path, .99, by='subject', name='b')
    assert [len(side) for side in sides(path, 'b')] == [5, 5]
    draw_split(path, .99, name='c')  # each class keeps one for training
    assert np.bincount(SkeletonStore(path).labels[sides(path, 'c')[0]]).tolist() == [1, 1, 1]
    lone = write(tmp_path / 'lone', 4)
    capsys.readouterr()
    draw_split(lone, .5)  # a single clip of waving, which trains
    assert [len(side) for side in sides(lone)] == [3, 1]
    assert 'note: test has no sample of 2 classes: stand, wave' in capsys.readouterr().out
    bare = write(tmp_path / 'bare', labels=False, classes=[])
    draw_split(bare, .1)
    assert len(sides(bare)[1]) == 3 and 'drawn by chance' in capsys.readouterr().out


def test_what_cannot_be_split_changes_nothing(tmp_path):
    path = write(tmp_path / 's', 6, subjects=0)
    before = (tmp_path / 's/index.json').read_bytes()
    for arguments, words in ((dict(share=0), 'above 0 and below 1'), (dict(share=1.5), 'above 0 and below 1'),
                             (dict(share=.2, by='subject'), "6 of 6 samples have no subject .*'clip00'.*`relabel`"),
                             (dict(share=.2, by='recording'), 'have no recording'),
                             (dict(share=.2, name='a/b'), 'letters, digits'), (dict(share=.2, name='all'), 'but not')):
        with pytest.raises(UserError, match=words):
            draw_split(path, **arguments)
    assert (tmp_path / 's/index.json').read_bytes() == before
    draw_split(path, .5)
    with pytest.raises(UserError, match="has a split 'train' already: .*--name.*--overwrite"):
        draw_split(path, .2)
    draw_split(path, .2, seed=3, overwrite=True)
    with pytest.raises(UserError, match='no sample has a label; omit --by'):
        draw_split(write(tmp_path / 'bare', labels=False), .2, by='class')
    with pytest.raises(UserError, match='all samples have the same subject'):
        draw_split(write(tmp_path / 'one', subjects=1), .2, by='subject')
    with pytest.raises(UserError, match='single sample'):
        draw_split(write(tmp_path / 'single', 1), .2)
    with pytest.raises(UserError, match='is not a store'):
        draw_split(str(tmp_path / 'nothing'), .2)
    with pytest.raises(UserError, match='no index.json'):
        draw_split(str(tmp_path), .2)


def test_a_missing_split_is_reported_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"no split 'train'; it has none \(and all\): choose one with data.split, or "
                                        r'draw one with `python tools/prepare_data.py split .*s --share 0.2`'):
        SkeletonStore(write(tmp_path / 's')).split('train')


def test_relabel_from_a_table(tmp_path, capsys):
    path, table = write(tmp_path / 's', 6), tmp_path / 'labels.csv'
    table.write_text('name,label,subject,recording,split\nclip00,jump10,11,a,fold\nclip01,jump9,,b,\n'
                     'clip02,,3,b,fold\nghost,sit,1,,\n')
    relabel(path, str(table))
    store = SkeletonStore(path)
    assert store.classes == ['sit', 'stand', 'wave', 'jump9', 'jump10']
    assert store.labels.tolist() == [4, 3, -1, 0, 1, 2] and store.subjects.tolist() == [11, -1, 3, 3, 4, 0]
    assert store.splits == dict(fold=['clip00', 'clip02']) and not verify(path)
    assert [sample.get('recording') for sample in store.samples] == ['a', 'b', 'b', None, None, None]
    out = capsys.readouterr().out
    assert "1 names in the table are not samples of the store (first: 'ghost')" in out and 'jump10 1' in out
    edit, = store.index['provenance']['edits']
    assert edit['options'] == dict(table=str(table), rename=[], changed=3, not_found=['ghost'])
    with pytest.raises(UserError, match="has a split 'fold', which .* sets: replace it with --overwrite"):
        relabel(path, str(table))
    assert 'are not read' not in out
    table.write_text('name,label,subjet\n' + ''.join(f'clip{i:02d},{"ab"[i % 2]},7\n' for i in range(6)))
    relabel(path, str(table))  # classes without a sample are removed
    assert 'its columns subjet are not read, only label, subject, recording, split' in capsys.readouterr().out
    assert SkeletonStore(path).classes == ['a', 'b'] and SkeletonStore(path).labels.tolist() == [0, 1] * 3


def test_classes_are_renamed_and_joined(tmp_path):
    path = write(tmp_path / 's', 6)
    relabel(path, rename=['sit=rest', 'stand=rest'])
    store = SkeletonStore(path)
    assert store.classes == ['rest', 'wave'] and store.labels.tolist() == [0, 0, 1] * 2
    numbered = write(tmp_path / 'n', 6, classes=[])
    relabel(numbered, rename=['2=two'])
    assert SkeletonStore(numbered).classes == ['0', '1', 'two']


@pytest.mark.parametrize('text, words', [
    ('name,label\nghost,a\n', "names no sample of .*'ghost', a sample is called 'clip00'"),
    ('name,colour\nclip00,a\n', 'none of label, subject, recording, split'), ('label\na\n', 'should name its columns'),
    ('name,subject\nclip00,4294967296\n', 'subject 4294967296 is not an integer'),
    ('name,split\nclip00,all\n', '"all" means every sample')])
def test_tables_that_do_not_fit(tmp_path, text, words):
    path, table = write(tmp_path / 's', 6), tmp_path / 't.csv'
    table.write_text(text)
    before = (tmp_path / 's/index.json').read_bytes()
    with pytest.raises(UserError, match=words):
        relabel(path, str(table))
    for rename, other in ((['sit'], 'expected OLD=NEW'), (['fly=x'], "no class 'fly'; it has sit, stand, wave"),
                          ([], 'needs a table')):
        with pytest.raises(UserError, match=other):
            relabel(path, rename=rename)
    assert (tmp_path / 's/index.json').read_bytes() == before


def test_subset(tmp_path):
    path, ids = write(tmp_path / 's'), tmp_path / 'ids.txt'
    draw_split(path, .2)
    subset(path, str(tmp_path / 'a'), classes=['wave', 'sit'], split='train')
    old, new = SkeletonStore(path), SkeletonStore(tmp_path / 'a')
    assert new.classes == ['sit', 'wave'] and len(new) == 16 and list(new.splits) == ['train'] and not verify(new.path)
    for i, name in enumerate(new.ids):
        np.testing.assert_array_equal(new.keypoints(i), old.keypoints(old.positions[name]))
        assert new.classes[new.labels[i]] == old.classes[old.labels[old.positions[name]]]
    assert new.index['provenance']['options']['classes'] == ['wave', 'sit']
    ids.write_text('\ufeffclip03\r\n\nclip01\n')  # as spreadsheets write it
    subset(path, str(tmp_path / 'b'), ids=str(ids))
    named = SkeletonStore(tmp_path / 'b')
    assert named.ids == ['clip01', 'clip03'] and named.classes == CLASSES
    subset(path, str(tmp_path / 'c'), subjects=[1, 2], count=5, seed=4)
    subset(path, str(tmp_path / 'd'), subjects=[1, 2], count=5, seed=4)
    assert SkeletonStore(tmp_path / 'c').ids == SkeletonStore(tmp_path / 'd').ids
    assert set(SkeletonStore(tmp_path / 'c').subjects) <= {1, 2} and len(SkeletonStore(tmp_path / 'c')) == 5
    for arguments, words in ((dict(), 'needs a condition'), (dict(classes=['fly']), "no class 'fly'"),
                             (dict(subjects=[9]), 'no sample of subject 9'), (dict(split='x'), "no split 'x'"),
                             (dict(count=0), '1 or more'), (dict(count=99), 'only 30 samples'),
                             (dict(ids=str(tmp_path / 'none')), 'cannot be read'),
                             (dict(classes=['sit'], ids=str(ids), subjects=[1]), 'no sample meets all')):
        with pytest.raises(UserError, match=words):
            subset(path, str(tmp_path / 'e'), **arguments)
    ids.write_text('ghost\n')
    with pytest.raises(UserError, match="names 1 samples that .* does not have, first 'ghost'"):
        subset(path, str(tmp_path / 'e'), ids=str(ids))
    assert not (tmp_path / 'e').exists()
