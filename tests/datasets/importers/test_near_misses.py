"""Inputs that are nearly like those that are read: what they lack or have too much decides nothing in silence."""
import io
import json
import pickle
import warnings

import numpy as np
import pytest

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.nwucla import read_json
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.npz import read_npz

UNCLOSED = b'\x93NUMPY\x01\x00\x08\x00{"a": (\n'  # an array whose header ends within a bracket


def body(seed=0, frames=8, joints=17):
    rng = np.random.default_rng(seed)
    return rng.normal((320, 240), 50, (joints, 2)) + rng.normal(0, 1, (frames, joints, 2)).cumsum(0)


def imported(importer, path, out, **options):
    with StoreWriter(out, source='test') as writer:
        IMPORTERS[importer](str(path), writer, layout='coco17', **options)
    return SkeletonStore(out)


def skipped(store):
    return {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


@pytest.mark.parametrize('key', ['scores', 'keypoint_scores', 'confidence'])
@pytest.mark.parametrize('axes', [None, 'NTVC', 'NCTV'])
def test_scores_of_an_npz(tmp_path, key, axes):
    clips, scores = np.stack([body(i) for i in range(3)]), np.random.default_rng(1).uniform(.1, 1, (3, 8, 17))
    scores[1, 2, 5] = 0
    stored = np.moveaxis(clips, -1, 1) if axes == 'NCTV' else clips
    np.savez(tmp_path / 'x.npz', keypoints=stored, labels=np.array(['a', 'b', 'a']), **{key: scores})
    store = imported('arrays', tmp_path / 'x.npz', tmp_path / 's', axes=axes)
    np.testing.assert_allclose([store.scores(i)[0] for i in range(3)], scores, rtol=1e-6)
    np.testing.assert_allclose(store.keypoints(0)[0], clips[0], rtol=1e-6)
    assert not store.keypoints(1)[0, 2, 5].any() and not store.index['provenance']['noted']


def test_scores_of_two_persons_and_of_another_shape(tmp_path):
    clips, scores = np.stack([body(0), body(1)])[None], np.full((1, 2, 8, 17), .5)
    np.savez(tmp_path / 'x.npz', keypoints=clips, scores=scores)
    assert imported('arrays', tmp_path / 'x.npz', tmp_path / 's').scores(0).shape == (2, 8, 17)
    np.savez(tmp_path / 'y.npz', keypoints=clips, scores=scores[:, 0])
    with pytest.raises(UserError, match=r'scores have shape \(1, 8, 17\), expected \(1, 2, 8, 17\), one for each'):
        imported('arrays', tmp_path / 'y.npz', tmp_path / 't')


@pytest.mark.parametrize('importer', ['arrays', 'pyskl'])
def test_units_are_those_of_the_first_clip_that_shows_somebody(tmp_path, importer):
    if importer == 'arrays':
        path = tmp_path / 'clips'
        path.mkdir()
        np.save(path / 'a.npy', 0 * body())
        np.save(path / 'b.npy', body())
    else:
        path = tmp_path / 'a.pkl'
        path.write_bytes(pickle.dumps([dict(frame_dir=name, label=0, total_frames=8, keypoint=clip[None]) for name, clip
                                       in (('a', 0 * body()), ('b', body()))]))
    store = imported(importer, path, tmp_path / 's')
    assert store.head['units'] == 'px' and 'b' in store.ids


def test_a_folder_without_any_body(tmp_path):
    (tmp_path / 'clips').mkdir()
    np.save(tmp_path / 'clips' / 'a.npy', 0 * body())
    assert imported('arrays', tmp_path / 'clips', tmp_path / 's').channels == 2  # kept for verify to report


def test_half_precision(tmp_path):
    (tmp_path / 'clips').mkdir()
    for name in 'ab':
        np.save(tmp_path / 'clips' / f'{name}.npy', body().astype(np.float16))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert len(imported('arrays', tmp_path / 'clips', tmp_path / 's')) == 2


def test_axes_that_are_not_the_usual_ones_are_named(tmp_path):
    np.save(tmp_path / 'a.npy', body().transpose(0, 2, 1))
    with pytest.raises(UserError, match='or --axes TCV'):
        imported('arrays', tmp_path / 'a.npy', tmp_path / 's')
    store = imported('arrays', tmp_path / 'a.npy', tmp_path / 't', axes='TCV')
    np.testing.assert_allclose(store.keypoints(0)[0], body(), rtol=1e-6)


def test_pyskl_scores_that_do_not_fit(tmp_path):
    sample = dict(label=0, total_frames=8, keypoint=body()[None], keypoint_score=np.ones((1, 8, 17)))
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps([
        dict(sample, frame_dir='a'), dict(sample, frame_dir='b', keypoint_score=np.ones((2, 8, 17)))]))
    store = imported('pyskl', tmp_path / 'a.pkl', tmp_path / 's')
    assert skipped(store) == {'b': 'keypoint_score of shape (2, 8, 17) for keypoint of shape (1, 8, 17, 2)'}


def test_detections_without_keypoints_are_named(tmp_path):
    (tmp_path / 'c.json').write_text(json.dumps([dict(image_id=i, pred_keypoints=[1]) for i in range(9)]))
    with pytest.raises(UserError, match='none of the first files shows a person; 9 detections of something else'):
        imported('pose', tmp_path / 'c.json', tmp_path / 's')


def test_movenet_gives_y_before_x(tmp_path):
    clip = np.dstack([body() / (640, 480), np.full((8, 17), .7)]).round(5)
    tensors = [[[frame[:, [1, 0, 2]].tolist()]] for frame in clip]
    tensors[3] = []
    (tmp_path / 'c.json').write_text(json.dumps(tensors))
    store = imported('pose', tmp_path / 'c.json', tmp_path / 's')
    clip[3] = 0
    np.testing.assert_allclose(store.keypoints(0)[0], clip[..., :2], rtol=1e-6)
    np.testing.assert_allclose(store.scores(0)[0], clip[..., 2], rtol=1e-6)
    (tmp_path / 'd.json').write_text(json.dumps([frame.tolist() for frame in clip]))  # without the tensor's axes
    np.testing.assert_allclose(imported('pose', tmp_path / 'd.json', tmp_path / 't').keypoints(0)[0], clip[..., :2],
                               rtol=1e-6)


def test_empty_world_landmarks_give_way_to_those_of_the_picture(tmp_path):
    points = [dict(x=.3 + i / 100, y=.2 + i / 100, z=.1, visibility=.9) for i in range(33)]
    (tmp_path / 'c.json').write_text(json.dumps(
        [dict(pose_landmarks=[points], pose_world_landmarks=[]) for _ in range(5)]))
    with StoreWriter(tmp_path / 's', source='test') as writer:
        IMPORTERS['pose'](str(tmp_path / 'c.json'), writer)
    assert SkeletonStore(tmp_path / 's').head['units'] == 'image'


@pytest.mark.parametrize('content, reason', [
    ('7', "no key 'skeletons'"), ('[[1]]', "no key 'skeletons'"), ('[' * 100_000, 'nested too deeply'),
    ('{"skeletons": [[[1, 2, 3]], [[1, 2]]], "label": 1}', 'rows of different lengths'),
    ('{"skeletons": [[[1, 2, 3]]], "label": 1.5}', r'label 1.5 is not one of 1\.\.10'),
    ('{"skeletons": [[[1, 2, 3]]], "label": [1]}', r'label \[1\] is not one of'),
    ('{"skeletons": [[[1, 2, 3]]], "label": true}', 'label True is not one of')], ids=lambda text: text[-24:])
def test_nwucla_files_of_another_kind(content, reason):
    with pytest.raises(ValueError, match=reason):
        read_json('a01_s01_e00_v01.json', content.encode())


def at(data, offset, new):
    """Overwrite bytes of the last entry of a zip archive's directory."""
    start = data.rindex(b'PK\1\2') + offset
    return data[:start] + new + data[start + len(new):]


@pytest.mark.parametrize('name, change', [
    ('an unknown version of zip', lambda data: at(data, 6, b'\x99\x00')),
    ('an unknown compression', lambda data: at(data, 10, b'\x63\x00')),
    ('a cut', lambda data: data[:len(data) // 2]),
    ('a lock', lambda data: at(data, 8, b'\x01\x00')),
    ('nothing', lambda data: b'')], ids=lambda value: value if isinstance(value, str) else '')
def test_archives_of_another_kind_are_no_npz(name, change):
    file = io.BytesIO()
    np.savez(file, keypoints=body())
    assert read_npz(file.getvalue())
    with pytest.raises(ValueError):
        read_npz(change(file.getvalue()))


def test_files_that_are_no_array(tmp_path):
    (tmp_path / 'clips').mkdir()
    np.save(tmp_path / 'clips' / 'a.npy', body())
    (tmp_path / 'clips' / 'b.npy').write_bytes(b'')
    (tmp_path / 'clips' / 'd.npy').write_bytes(UNCLOSED)
    np.savez(tmp_path / 'c.npz', body())
    (tmp_path / 'c.npz').rename(tmp_path / 'clips' / 'c.npy')
    found = skipped(imported('arrays', tmp_path / 'clips', tmp_path / 's'))
    assert set(found) == {'b.npy', 'c.npy', 'd.npy'}
    assert all(reason.startswith('not an array') for reason in found.values())


def test_an_archive_of_human36m_that_ends_early(tmp_path):
    file = io.BytesIO()
    np.savez(file, positions_3d=np.array({'S1': {'Walking 1': np.zeros((4, 32, 3))}}, object))
    longer = (1 << 20).to_bytes(4, 'little')
    (tmp_path / 'data_3d_h36m.npz').write_bytes(at(file.getvalue(), 20, longer + longer))
    with pytest.raises(UserError, match='not an .npz file'), StoreWriter(tmp_path / 's', source='test') as writer:
        IMPORTERS['h36m'](str(tmp_path), writer)


def test_headers_that_end_early(tmp_path):
    (tmp_path / 'train_data.npy').write_bytes(UNCLOSED)
    (tmp_path / 'train_label.pkl').write_bytes(pickle.dumps((['a'], [0])))
    with pytest.raises(UserError, match=r'train_data\.npy cannot be read'), StoreWriter(tmp_path / 's') as writer:
        IMPORTERS['official_npy'](str(tmp_path), writer)
    np.save(tmp_path / 'a.npy', body())
    store = imported('arrays', tmp_path / 'a.npy', tmp_path / 't')
    (tmp_path / 't' / 'keypoints.npy').write_bytes(UNCLOSED)
    with pytest.raises(UserError, match=r'keypoints\.npy cannot be read'):
        SkeletonStore(store.path)
