"""What files state about clips besides their coordinates is used, noted or refused, but never dropped in silence."""
import json
import pickle

import numpy as np
import pytest

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.markers import import_markers
from mmskelssl.datasets.importers.third import check_metres
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError


def body(frames=8, joints=20, coordinates=3, seed=0):
    rng = np.random.default_rng(seed)
    still = rng.uniform(-.8, .8, (joints, coordinates))
    return (still + rng.normal(0, .01, (frames, joints, coordinates))).astype('f4')


def imported(importer, path, out, **options):
    with StoreWriter(out, source='test') as writer:
        IMPORTERS[importer](str(path), writer, **options)
    return SkeletonStore(out)


def listed(store, what='noted'):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][what]}


@pytest.fixture
def pyskl(tmp_path):
    def run(annotations, layout='kinect20', **more):
        (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(annotations=annotations, **more)))
        return imported('pyskl', tmp_path / 'a.pkl', tmp_path / 'store', layout=layout)
    return run


def sample(i, **more):
    return dict(frame_dir=f'v{i}', label=i, keypoint=body(seed=i)[None], total_frames=8) | more


@pytest.mark.parametrize('stated, frames, note', [
    (8, 8, None), (5, 5, '3 empty frames after its total_frames (5) left out'),
    (3, 8, 'its total_frames is 3, but its keypoint has 8 frames, which are all kept'),
    (30, 8, 'its total_frames is 30')])
def test_total_frames(pyskl, stated, frames, note):
    keypoint, score = body(joints=17, coordinates=2)[None] * 300 + 400, np.full((1, 8, 17), .5, 'f2')
    keypoint[:, 5 if stated == 5 else 8:] = 0
    store = pyskl([sample(0, keypoint=keypoint, keypoint_score=score, total_frames=stated)], 'coco17')
    assert store.keypoints(0).shape[1] == frames == store.scores(0).shape[1]
    assert (listed(store).get('v0') or '').startswith(note or '') and bool(listed(store)) == bool(note)


@pytest.mark.parametrize('more', [{}, dict(frame_dir='other')])
def test_file_names_as_mmaction2_writes_them(pyskl, more):
    annotations = [dict(filename=f'v{i}', label=i, keypoint=body(seed=i)[None], **more and dict(frame_dir=f'other{i}'))
                   for i in range(3)]
    store = pyskl(annotations, split=dict(train=['v0', 'v1'], test=['v2']))
    assert store.ids == ['v0', 'v1', 'v2'] and store.splits == dict(train=['v0', 'v1'], test=['v2'])


def test_names_that_are_numbers_of_numpy(pyskl):
    assert pyskl([sample(0, frame_dir=np.int64(7))]).ids == ['7']


def test_clips_in_no_split_are_noted(pyskl, capsys):
    pyskl([sample(i) for i in range(3)], split=dict(train=['v0'], test=['v1']))
    assert "1 of 3 clips are in none of the file's splits" in capsys.readouterr().out


def test_two_classes_of_one_name(pyskl):
    with pytest.raises(UserError, match="two of the 'classes' have the same name"):
        pyskl([sample(0)], classes=['walk', 'walk'])


@pytest.mark.parametrize('label', [True, np.True_])
def test_a_truth_value_is_no_label(pyskl, label):
    store = pyskl([sample(0), sample(1, label=label)])
    assert store.ids == ['v0'] and 'True is not a number' in listed(store, 'skipped')['v1']


def test_names_in_bytes_of_python_2(tmp_path):
    np.save(tmp_path / 'train_data_joint.npy', body(8, 25).transpose(2, 0, 1)[None, ..., None])
    (tmp_path / 'train_label.pkl').write_bytes(pickle.dumps(([b'S001C001P003R001A001.skeleton'], [0])))
    store = imported('official_npy', tmp_path, tmp_path / 'store')
    assert store.ids == ['S001C001P003R001A001'] and store.index['samples'][0]['subject'] == 3


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    for i in range(2):
        np.save(folder / f'{i}.npy', body(seed=i))
    return folder


@pytest.mark.parametrize('column', ['class', 'action', 'Category'])
def test_a_table_of_labels_with_other_columns(clips, tmp_path, column):
    (clips / 'labels.csv').write_text(f'name,{column}\n0,walk\n1,sit\n')
    with pytest.raises(UserError, match=rf'labels.csv: its columns {column.lower()} are not read: name them label'):
        imported('arrays', clips, tmp_path / 'store', layout='kinect20')


def test_a_further_column_of_labels_is_noted(clips, tmp_path, capsys):
    (clips / 'labels.csv').write_text('name,label,camera\n0,walk,1\n1,sit,2\n')
    assert imported('arrays', clips, tmp_path / 'store', layout='kinect20').classes == ['sit', 'walk']
    assert 'its columns camera are not read, only label, subject, split' in capsys.readouterr().out


@pytest.mark.parametrize('label', ['walk', 3])
def test_what_a_json_clip_says_about_itself(tmp_path, label):
    points = body(joints=17, coordinates=2) * 300 + 400
    scores = np.full((8, 17), .5)
    scores[2, 3] = 0
    (tmp_path / 'a.json').write_text(json.dumps(dict(keypoints=points.tolist(), scores=scores.tolist(), label=label,
                                                     subject=7, fps=30)))
    store = imported('arrays', tmp_path / 'a.json', tmp_path / 'store', layout='coco17')
    sample, = store.index['samples']
    assert (store.classes[sample['label']] if store.classes else sample['label']) == label and sample['subject'] == 7
    np.testing.assert_array_equal(store.scores(0)[0], scores)
    assert not store.keypoints(0)[0, 2, 3].any() and 'keys of the file that are not read: fps' in listed(store)['clip']


@pytest.mark.parametrize('change, message', [
    (dict(scores=[[.5] * 17]), r'scores have shape \(1, 17\), expected .* \(1, 8, 17\)'),
    (dict(keypoints=[[[1, 2]] * 17, [[1, 2]] * 16]), 'keypoints: lists of different lengths'),
    (dict(keypoints=[[['a', 'b']] * 17]), 'or values that are not numbers'), (dict(label=1.5), 'label 1.5 is not an')])
def test_a_json_clip_that_contradicts_itself(tmp_path, change, message):
    content = dict(keypoints=(body(joints=17, coordinates=2) * 300 + 400).tolist()) | change
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        imported('arrays', tmp_path / 'a.json', tmp_path / 'store', layout='coco17')


@pytest.mark.filterwarnings('error')
def test_half_precision(tmp_path):
    np.save(tmp_path / 'a.npy', body().astype('f2'))
    assert len(imported('arrays', tmp_path / 'a.npy', tmp_path / 'store', layout='kinect20')) == 1


@pytest.mark.parametrize('size, good', [(1, True), (.2, True), (.001, False), (1000, False)])
def test_sizes_of_bodies_in_metres(size, good):
    clip = body()[None] * size
    if good:
        check_metres(clip)
        check_metres(clip * 0)
    else:
        with pytest.raises(ValueError, match='in size, which cannot be metres'):
            check_metres(clip)


def test_azure_kinect_in_metres_is_refused(tmp_path):
    frames = [dict(frame_id=t, bodies=[dict(body_id=1, joint_positions=(body(1, 32)[0] + [0, 0, 2]).tolist())])
              for t in range(3)]
    (tmp_path / 'a.json').write_text(json.dumps(dict(frames=frames)))
    with pytest.raises(UserError, match='which cannot be metres'):
        imported('pose', tmp_path / 'a.json', tmp_path / 'store')


def test_markers_at_the_origin_are_gaps(tmp_path):
    """Resampled between two frames, a joint would otherwise stand halfway between the body and the origin."""
    lines = ['PathFileType\t4\t(X/Y/Z)\ta.trc', 'DataRate\tUnits', '40\tm', 'Frame#\tTime\ta\t\t\tb\t\t\tc',
             '\t\tX1\tY1']
    for t in range(9):
        b = (0, 0, 0) if t == 4 else (1, 1, 1)
        lines.append('\t'.join(map(str, (t + 1, t / 40, 1, 1, 2, *b, 2, 2, 2))))
    (tmp_path / 'a.trc').write_text('\n'.join(lines))
    (tmp_path / 'abc.json').write_text(json.dumps(dict(name='abc', joints=['a', 'b', 'c'], parents=[0, 0, 0], hip=0,
                                                       shoulders=[1, 2], pairs=[[1, 2]])))
    with StoreWriter(tmp_path / 'store', source='test') as writer:
        import_markers(str(tmp_path / 'a.trc'), writer, layout=str(tmp_path / 'abc.json'), fps=30)
    store = SkeletonStore(tmp_path / 'store')
    np.testing.assert_allclose(store.keypoints(0)[0, :, 1], 1)
    assert 'filled in over time' in listed(store, 'repaired')['a']
