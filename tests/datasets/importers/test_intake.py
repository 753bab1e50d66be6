"""Nothing is misread silently: labels, splits, foreign pickles and archives, and the summary."""
import io
import pickle

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.detect import detect
from mmskelssl.datasets.importers.labels import label_table
from mmskelssl.datasets.importers.summary import report
from mmskelssl.errors import UserError

RNG = np.random.default_rng(0)


def clip(*shape):
    return RNG.normal(size=shape or (4, 20, 3)).astype(np.float32)


def data(array=None, **arrays):
    file = io.BytesIO()
    np.savez(file, **arrays) if arrays else np.save(file, array)
    return file.getvalue()


def load(tmp_path, importer, files, path='', **options):
    raw = tmp_path / 'raw'
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with StoreWriter(tmp_path / 's', overwrite=True) as writer:
        IMPORTERS[importer](str(raw / path), writer, **options)
    return SkeletonStore(tmp_path / 's')


def reasons(store, what='skipped'):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][what]}


# --- labels and splits -----------------------------------------------------------------------------------------------

def test_a_share_of_clips_without_labels(tmp_path):
    files = {f'{i}.npy': data(clip()) for i in range(10)}
    assert load(tmp_path, 'arrays', files, layout='kinect20').splits.keys() == {'train'}
    store = load(tmp_path, 'arrays', files, layout='kinect20', labels='none', test_share=.3)
    assert len(store.splits['test']) == 3 and len(store.splits['train']) == 7


def test_folders_of_different_depth_are_no_classes(tmp_path, capsys):
    store = load(tmp_path, 'arrays', {'a.npy': data(clip()), 'b.npy': data(clip()), 'more/c.npy': data(clip())},
                 layout='kinect20')
    assert not store.classes and 'not used as classes' in capsys.readouterr().out
    parts = load(tmp_path / 'p', 'arrays', {'train/a.npy': data(clip()), 'val/b.npy': data(clip())}, layout='kinect20')
    assert not parts.classes and parts.splits == dict(train=['train/a'], test=['val/b'])
    parts = load(tmp_path / 'p', 'arrays', {'Test/c.npy': data(clip())}, layout='kinect20')
    assert parts.splits == dict(train=['train/a'], val=['val/b'], test=['Test/c'])


@pytest.mark.parametrize('files, labels, splits', [
    ('{a}/{b}/x.json', {'walk', 'run'}, False),                  # a folder for each clip
    ('{a}/{a}_{b}/out/x.json', {'walk', 'run'}, False),
    ('{b}/{a}/1.json {b}/{a}/2.json', {'walk', 'run'}, False),   # S1/walk
    ('{a}/{b}/1.json {a}/{b}/2.json', {'walk', 'run'}, False),   # walk/S1
    ('train/{a}/{b}.json test/{a}/{b}.json', {'walk', 'run'}, True),
    ('{a}/train/{b}.json {a}/val/{b}.json', {'walk', 'run'}, True),
    ('{a}{b}/x.json', set(), False),                             # a single clip in each folder
    ('{a}/{c}/1.json {a}/{c}/2.json', set(), False),             # walk/indoor: either could be the class
])
def test_which_folders_are_classes(files, labels, splits):
    names = sorted({name.format(a=a, b=b, c=c) for a in ('walk', 'run') for b in ('S1', 'S2') for c in ('in', 'out')
                    for name in files.split()})
    table = label_table(None, names, 'auto')
    assert {row['label'] for row in table.values() if 'label' in row} == labels
    assert all(row['label'] in name for name, row in table.items() if 'label' in row)
    assert all(row.get('split') == ('train' if 'train' in name else 'test' if splits else None)
               for name, row in table.items())


def test_tables_of_labels_as_spreadsheets_write_them(tmp_path):
    files = {'a.npy': data(clip()), 'b.npy': data(clip()),
             'labels.csv': b'\xef\xbb\xbfName;Label\r\na;walk\r\nb;run\r\n'}
    store = load(tmp_path, 'arrays', files, layout='kinect20')
    assert store.classes == ['run', 'walk'] and store.labels.tolist() == [1, 0]


def test_a_row_that_could_be_several_clips_labels_none(tmp_path):
    files = {'x/a.npy': data(clip()), 'y/a.npy': data(clip()), 'y/b.npy': data(clip()),
             'labels.csv': b'name,label\na,walk\nb,run\n'}
    store = load(tmp_path, 'arrays', files, layout='kinect20')
    assert dict(zip(store.ids, store.labels.tolist(), strict=True)) == {'x/a': -1, 'y/a': -1, 'y/b': 0}


def test_labels_in_an_npz(tmp_path):
    clips = clip(3, 4, 20, 3)
    store = load(tmp_path, 'arrays', {'c.npz': data(keypoints=clips, labels=['run', 'fly', 'run'])}, layout='kinect20')
    assert store.classes == ['fly', 'run'] and store.labels.tolist() == [1, 0, 1]
    with pytest.raises(UserError, match=r'labels: label 1.7 is not an integer'):
        load(tmp_path / 'x', 'arrays', {'c.npz': data(keypoints=clips, labels=[1.7, 0, 1])}, layout='kinect20')


# --- third numbers ---------------------------------------------------------------------------------------------------

def test_scores_are_no_depth(tmp_path, capsys):
    flat, scored = clip(4, 17, 2) * 50 + 200, np.concatenate([clip(4, 17, 2) * 50 + 200, np.full((4, 17, 1), .5)], -1)
    store = load(tmp_path, 'arrays', {'a.npy': data(flat), 'b.npy': data(scored)}, layout='coco17')
    assert store.ids == ['a', 'b'] and store.channels == 2 and store.head['units'] == 'px'
    np.testing.assert_allclose(store.keypoints(1)[0], scored[..., :2], rtol=1e-6)
    assert store.head['third'] == 'score' and (store.scores(0) == 1).all() and (store.scores(1) == .5).all()
    assert store.index['provenance']['noted'] == [dict(id='a', reason='no scores: joints away from the origin get 1')]
    store = load(tmp_path / 's', 'arrays', {'a.npy': data(scored), 'b.npy': data(flat)}, layout='coco17')
    assert store.head['third'] == 'score' and (store.scores(0) == .5).all() and (store.scores(1) == 1).all()
    table = 'frame,' + ','.join(f'j{i}_{axis}' for i in range(20) for axis in ('x', 'y', 'z', 'score')) + ''.join(
        f'\n{t},' + ','.join(f'{t},{i},2,{(t + i) / 40}' for i in range(20)) for t in range(3))
    store = load(tmp_path / 't', 'arrays', {'a.csv': table}, layout='kinect20')
    assert store.channels == 3 and store.head['third'] == 'depth'
    np.testing.assert_allclose(store.scores(0)[0], np.add.outer(range(3), range(20)) / 40, rtol=1e-6)
    store = load(tmp_path / 'k', 'arrays', {'b.npy': data(np.tile(scored, (1, 2, 1))[:, :20])}, layout='kinect20')
    assert store.channels == 2 and 'read as its score' in capsys.readouterr().out  # pixels in a layout of 3D joints
    assert load(tmp_path / 'k', 'arrays', {}, layout='kinect20', third='depth').channels == 3
    store = load(tmp_path / 'r', 'arrays', {'b.npy': data(scored / (1000, 1000, 1))}, layout='coco17')
    assert store.head['units'] == 'relative'


def annotations(keypoint, **more):
    return pickle.dumps([dict(frame_dir=f'c{i}', label=i % 2, keypoint=keypoint, **more) for i in range(4)])


def test_a_number_that_is_no_score_of_a_flat_layout_is_asked_about(tmp_path):
    odd = np.concatenate([clip(4, 17, 2) * 100, np.full((4, 17, 1), 7)], -1)
    with pytest.raises(UserError, match='a.npy: the third number of a joint lies in 7..7, which cannot be a score'):
        load(tmp_path / 'x', 'arrays', {'a.npy': data(odd)}, layout='coco17')
    scored = np.concatenate([clip(4, 20, 2) * 100, np.full((4, 20, 1), .5)], -1)
    store = load(tmp_path / 'y', 'arrays', {'a.npy': data(clip()), 'b.npy': data(scored)}, layout='kinect20')
    assert store.ids == ['a'] and 'its third number is a score, but that of a.npy is a depth' in reasons(store)['b.npy']


@pytest.mark.parametrize('size', [1e300, 1e20])
def test_a_damaged_first_file_costs_no_other(tmp_path, size):
    damaged = np.concatenate([RNG.uniform(1, 1000, (4, 20, 2)) * size, np.full((4, 20, 1), .5)], -1)
    damaged[0, 0, 2] = -1e300  # finite only as float64
    damaged[0, :2] = RNG.normal(size=(2, 3)) * 1e-9  # the rest has no size to compare with
    store = load(tmp_path, 'arrays', {'a.npy': data(damaged), 'b.npy': data(clip())}, layout='kinect20')
    assert 'b' in store.ids and store.channels == 3


@pytest.mark.parametrize('importer', ['arrays', 'pyskl'])
@pytest.mark.parametrize('numbers, scale', [(3, 1000), (3, 100), (2, 500)])
def test_other_units_in_one_source_are_not_mixed(tmp_path, importer, numbers, scale):
    clips = {name: RNG.uniform(.1, .9, (4, 20, numbers)).astype(np.float32) * size
             for name, size in dict(a=1, b=1.5 if numbers == 3 else 1, c=scale).items()}
    files = {f'{name}.npy': data(array) for name, array in clips.items()}
    if importer == 'pyskl':
        files = {'p.pkl': pickle.dumps([dict(frame_dir=name, label=0, keypoint=array[None], total_frames=4)
                                        for name, array in clips.items()])}
    store = load(tmp_path, importer, files, 'p.pkl' if importer == 'pyskl' else '', layout='kinect20')
    reason, = reasons(store).values()
    assert store.ids == ['a', 'b'] and 'their units differ' in reason


def test_keys_of_an_npz_that_are_not_read(tmp_path):
    files = {'c.npz': data(keypoints=clip(3, 4, 20, 3), y=[0, 1, 0], fps=30)}
    store = load(tmp_path, 'arrays', files, layout='kinect20')
    assert reasons(store, 'noted') == {'c/000000': 'keys of the file that are not read: fps, y'}
    for content, said in ((data(x=clip(3, 4, 20, 3), y=[0, 1, 0]), 'name the array of clips keypoints'),
                          (data(keypoints=np.array([clip(), clip(5, 20, 3)], object)), 'clips that differ in length')):
        with pytest.raises(UserError, match=said):
            load(tmp_path / 'x', 'arrays', {'c.npz': content}, layout='kinect20')


def test_two_persons_are_said(tmp_path, capsys):
    load(tmp_path, 'arrays', {'a.npy': data(clip(2, 4, 20, 3))}, layout='kinect20')
    said = 'a.npy: shape (2, 4, 20, 3) is read as 2 persons of 4 frames (--axes NTVC: 2 clips)'
    assert said in capsys.readouterr().out


def test_names_and_numbers_as_labels_are_not_mixed(tmp_path):
    files = {'a.npz': data(keypoints=clip(1, 4, 20, 3), labels=['run']), 'b.npz': data(keypoints=clip(1, 4, 20, 3),
                                                                                       labels=[0])}
    with pytest.raises(UserError, match='the labels of some clips are names, and those of others are numbers'):
        load(tmp_path, 'arrays', files, layout='kinect20')


def test_pickles_of_one_person_and_with_names_as_labels(tmp_path):
    made = {}
    for classes in ([], ['walk', 'run']):
        samples = [dict(frame_dir=name, label=name, keypoint=clip(4, 20, 3)) for name in ('run', 'walk')]
        content = dict(annotations=samples, split={}, classes=classes)
        store = load(tmp_path / f'{len(classes)}', 'pyskl', {'a.pkl': pickle.dumps(content)}, 'a.pkl',
                     layout='kinect20')
        made[len(classes)] = [store.classes[label] for label in store.labels], store.classes
        np.testing.assert_array_equal(store.keypoints(0)[0], samples[0]['keypoint'])
    assert made == {0: (['run', 'walk'], ['run', 'walk']), 2: (['run', 'walk'], ['walk', 'run'])}


def test_pickles_of_others(tmp_path, capsys):
    scored = np.concatenate([clip(1, 9, 17, 2) * 50 + 300, np.full((1, 9, 17, 1), .5)], -1).astype(np.float32)
    store = load(tmp_path, 'pyskl', {'ntu60_xsub_val.pkl': annotations(scored)}, 'ntu60_xsub_val.pkl', layout='coco17')
    assert store.channels == 2 and store.head['units'] == 'px' and store.splits == dict(xsub_test=store.ids)
    np.testing.assert_allclose(store.keypoints(0), scored[..., :2], rtol=1e-6)
    assert (store.scores(0) == .5).all() and store.head['third'] == 'score'
    assert 'the third number of a joint is its score' in capsys.readouterr().out
    apart = annotations(scored[..., :2], keypoint_score=np.full((1, 9, 17), .25, np.float16))
    store = load(tmp_path / 'a', 'pyskl', {'a.pkl': apart}, 'a.pkl', layout='coco17')
    np.testing.assert_allclose(store.keypoints(0), scored[..., :2], rtol=1e-6)
    assert (store.scores(0) == .25).all() and store.head['third'] == 'none'
    turned = clip(9, 2, 20, 3)
    store = load(tmp_path / 't', 'pyskl', {'a.pkl': annotations(turned, total_frames=9)}, 'a.pkl', layout='kinect20')
    np.testing.assert_array_equal(store.keypoints(0), turned.swapaxes(0, 1))
    with pytest.raises(UserError, match='9 persons of 2 frames: choose with --axes MTVC or TMVC'):
        load(tmp_path / 'q', 'pyskl', {'a.pkl': annotations(turned)}, 'a.pkl', layout='kinect20')
    store = load(tmp_path / 'q', 'pyskl', {}, 'a.pkl', layout='kinect20', axes='TMVC')
    np.testing.assert_array_equal(store.keypoints(0), turned.swapaxes(0, 1))


def test_the_npz_of_ctr_gcn(tmp_path):
    x, y = np.zeros((3, 8, 150), np.float32), np.eye(60)[[5, 0, 59]]
    x[:, :5, :75] = clip(3, 5, 75)
    x[1, :3, 75:] = clip(3, 75)
    files = {'NTU60_CS.npz': data(x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])}
    store = load(tmp_path, 'arrays', files, layout='ntu25')
    assert store.labels.tolist() == [5, 0, 59, 5] and store.persons.tolist() == [1, 2, 1, 1]
    assert store.frames.tolist() == [5] * 4 and {name: len(ids) for name, ids in store.splits.items()} == dict(
        xsub_train=3, xsub_test=1)
    np.testing.assert_array_equal(store.keypoints(1)[1, :3].reshape(3, 75), x[1, :3, 75:])
    with pytest.raises(UserError, match='y_train is not one-hot'):
        load(tmp_path / 'x', 'arrays', {'a_CS.npz': data(x_train=x, y_train=y * .5)}, layout='ntu25')


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_the_npz_of_ctr_gcn_is_read_clip_by_clip(tmp_path, monkeypatch, save):
    """The real file has 10 GB, more than is ever read at once."""
    monkeypatch.setattr('mmskelssl.datasets.importers.source.MAX_BYTES', 1000)
    monkeypatch.setattr('mmskelssl.npz.MAX_UNPACKED', 1000)
    file, x = tmp_path / 'NTU60_CV.npz', np.zeros((3, 8, 150), np.float32)
    x[:, :5, :75] = clip(3, 5, 75)
    save(file, x_train=x, y_train=np.array([5, 0, 59]), x_test=x[:1], y_test=np.array([1]))
    store = load(tmp_path, 'arrays', {}, file, layout='ntu25')
    assert store.labels.tolist() == [5, 0, 59, 1]
    assert {name: len(ids) for name, ids in store.splits.items()} == dict(xview_train=3, xview_test=1)
    np.testing.assert_array_equal(store.keypoints(2)[0].reshape(5, 75), x[2, :5, :75])
    store = load(tmp_path / 'bare', 'arrays', {}, file, layout='ntu25', labels='none')
    assert (store.labels < 0).all() and len(store) == 4


@pytest.mark.parametrize('change, message', [
    (dict(x_train=np.zeros((2, 8, 149), np.float32)), 'x_train has shape .2, 8, 149., expected .N, T, persons'),
    (dict(x_train=np.zeros((8, 2, 150), np.float32, 'F')), 'Fortran order'),
    (dict(x_train=np.zeros((2, 8, 150), bool)), 'an array of bool'),
    (dict(y_train=np.zeros(3)), 'x_train has 2 clips, y_train shape .3,.'),
    (dict(y_train=np.array([.5, 1])), 'its labels are not integers')])
def test_an_npz_of_ctr_gcn_that_does_not_fit(tmp_path, change, message):
    arrays = dict(x_train=np.ones((2, 8, 150), np.float32), y_train=np.array([0, 1])) | change
    with pytest.raises(UserError, match=message):
        load(tmp_path, 'arrays', {'a.npz': data(**arrays)}, 'a.npz', layout='ntu25')


def test_a_damaged_npz_of_ctr_gcn(tmp_path):
    whole = bytearray(data(x_train=np.ones((2, 8, 150), np.float32)))
    place = whole.index(b"'shape': (2, 8, 150)")
    whole[place:place + 20] = b"'shape': (3, 8, 150)"
    with pytest.raises(UserError, match='does not fit the .* bytes|CRC'):
        load(tmp_path, 'arrays', {'a.npz': bytes(whole)}, 'a.npz', layout='ntu25')
    whole = bytearray(data(x_train=np.ones((2, 8, 150), np.float32)))
    whole[:4] = b'PK__'
    with pytest.raises(UserError, match='x_train is damaged .Bad magic number'):
        load(tmp_path, 'arrays', {'a.npz': bytes(whole)}, 'a.npz', layout='ntu25')


@pytest.mark.parametrize('name, joints', [('data_joint', 25), ('data', 25), ('data', 18)])
def test_the_arrays_of_2s_agcn_and_st_gcn(tmp_path, name, joints):
    clips = np.zeros((2, 3, 9, joints, 2), np.float32)
    clips[:, :, :6, :, 0] = abs(clip(2, 3, 6, joints)) + .1
    store = load(tmp_path, 'official_npy', {f'train_{name}.npy': data(clips), 'train_label.pkl': pickle.dumps(
        (['S001C001P001R001A001.skeleton', 'b'], [0, 1]))})
    channels = 3 if joints == 25 else 2
    assert store.channels == channels and store.frames.tolist() == [6, 6] and store.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(store.keypoints(1)[0], clips[1, :channels, :6, :, 0].transpose(1, 2, 0))
    assert store.has_scores == (joints == 18) and store.head['third'] == ('score' if joints == 18 else 'depth')
    assert joints == 25 or np.array_equal(store.scores(1)[0], clips[1, 2, :6, :, 0])
    assert 'official_npy' in list(detect(str(tmp_path / 'raw')))[1]


# --- output ----------------------------------------------------------------------------------------------------------

def test_the_same_names_in_both_parts_of_official_arrays(tmp_path, capsys):
    clips = RNG.normal(size=(2, 3, 4, 25, 1)).astype(np.float32)
    labels = pickle.dumps((['0', '1'], [1, 0]))
    files = {'d/train_data_joint.npy': data(clips), 'd/train_label.pkl': labels,
             'd/val_data_joint.npy': data(clips + 1), 'd/val_label.pkl': labels}
    store = load(tmp_path, 'official_npy', files, 'd')
    assert store.splits == dict(xsub_train=['train/0', 'train/1'], xsub_test=['test/0', 'test/1'])
    np.testing.assert_array_equal(store.keypoints(3)[0], clips[1, ..., 0].transpose(1, 2, 0) + 1)
    assert [*detect(str(tmp_path / 'raw'))][1].startswith(f'mmskelssl prepare official_npy {tmp_path}/raw/d ')


def test_the_summary(tmp_path, capsys):
    files = {f'{label}/{i}.npy': data(clip()) for i, label in enumerate(['run', 'run', 'fly'])}
    load(tmp_path, 'arrays', files | {f'run/bad{i}.npy': data(clip(i + 3, 25, 3)) for i in range(3)}, layout='kinect20')
    capsys.readouterr()
    assert report(str(tmp_path / 's')) == 0 and report(str(tmp_path / 's'), strict=True) == 1
    said = capsys.readouterr().out
    assert '2 classes: fly 1, run 2' in said and 'skipped 3: shape (#, #, #), expected' in said
    load(tmp_path, 'arrays', {'run/bad9.npy': b''}, layout='kinect20')
    capsys.readouterr()
    assert report(str(tmp_path / 's')) == 1
    assert capsys.readouterr().out.startswith('MOST OF IT WAS SKIPPED: 4 of 7')


def test_detect(tmp_path):
    (tmp_path / 'a.npy').write_bytes(data(clip(50, 30, 20, 3)))
    text, command = detect(str(tmp_path))
    assert 'shape (50, 30, 20, 3)' in text and '--layout kinect20 --axes NTVC --out data/' in command
    (tmp_path / 'p.pkl').write_bytes(annotations(clip(1, 4, 17, 2)))
    text, command = detect(str(tmp_path / 'p.pkl'))
    assert 'annotations of pyskl' in text and 'prepare pyskl' in command and '--layout coco17' in command
    np.save(tmp_path / 'o.npy', np.array([clip(), clip()[:2]], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r'o.npy: Object array, .* clips that differ in length go under a key each'):
        list(detect(str(tmp_path / 'o.npy')))
    (tmp_path / 'x').mkdir()
    (tmp_path / 'x' / 'v.xyz').write_text('')
    with pytest.raises(UserError, match='no files that an importer reads; it holds 1 .xyz'):
        list(detect(str(tmp_path / 'x')))


def test_overlapping_ranges_of_utkinect_are_noted(tmp_path):
    rows = '\n'.join(f'{i} ' + ' '.join(['0.5'] * 60) for i in range(30))
    store = load(tmp_path, 'utkinect', {'joints_s01_e01.txt': rows,
                                        'actionLabel.txt': 's01_e01\nwalk: 0 10\nsitDown: 8 20\nstandUp: 21 25\n'})
    assert reasons(store, 'noted') == {'s01_e01_sitDown': 'its range overlaps that of walk'}
