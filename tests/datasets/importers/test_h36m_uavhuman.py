"""Human3.6M in VideoPose3D's format, and UAV-Human: correct values, and no pickle is executed."""
import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.detect import detect
from mmskelssl.datasets.importers.h36m import MOVING
from mmskelssl.datasets.importers.restricted_pickle import load_container
from mmskelssl.errors import UserError

RNG = np.random.default_rng(2)
T = 5
MOTIONS = {'S1': {'Walking 1': RNG.normal(size=(T, 32, 3)).astype(np.float32),
                  'Eating': RNG.normal(size=(T + 1, 32, 3)).astype(np.float32)},
           'S9': {'Walking': np.asfortranarray(RNG.normal(size=(T, 32, 3)).astype('>f8'))},
           'S4': {'Eating 2': RNG.normal(size=(T, 17, 3))}}


def load(importer, path, out):
    with StoreWriter(out, overwrite=True) as writer:
        IMPORTERS[importer](str(path), writer)
    return SkeletonStore(out)


def test_positions_in_3d(tmp_path):
    file = tmp_path / 'data_3d_h36m.npz'
    np.savez_compressed(file, positions_3d=MOTIONS)
    store = load('h36m', file, tmp_path / 's')
    assert store.layout.name == 'h36m17' and store.head['units'] == 'm' and store.head['third'] == 'depth'
    assert store.ids == ['S1/Walking 1', 'S1/Eating', 'S9/Walking', 'S4/Eating 2']
    assert store.classes == ['Eating', 'Walking'] and store.labels.tolist() == [1, 0, 1, 0]
    assert store.subjects.tolist() == [1, 1, 9, 4]
    assert store.splits == dict(xsub_train=store.ids[:2], xsub_test=['S9/Walking'])
    for i, source in enumerate([MOTIONS['S1']['Walking 1'], MOTIONS['S1']['Eating'], MOTIONS['S9']['Walking']]):
        x, y, z = np.moveaxis(source[:, MOVING].astype(np.float32), -1, 0)
        np.testing.assert_allclose(store.keypoints(i)[0], np.stack([x, z, -y], -1), rtol=1e-6)
    assert any('mmskelssl prepare h36m' in line for line in detect(str(file)))


def test_positions_in_2d(tmp_path):
    cameras = [RNG.uniform(0, 900, (T, 17, 2)) for _ in range(4)]
    np.savez_compressed(tmp_path / 'data_2d_h36m_gt.npz', positions_2d={'S5': {'Posing': cameras}},
                        metadata={'layout_name': 'h36m', 'num_joints': 17, 'keypoints_symmetry': [[4], [1]]})
    store = load('h36m', tmp_path, tmp_path / 's')
    assert store.ids == [f'S5/Posing/{i}' for i in range(4)] and store.channels == 2 and store.head['units'] == 'px'
    assert [sample['camera'] for sample in store.samples] == [0, 1, 2, 3] and store.layout.name == 'h36m17'
    np.testing.assert_allclose(store.keypoints(2)[0], cameras[2], rtol=1e-6)


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def npy(content):
    file = io.BytesIO()
    np.save(file, np.array(content, object), allow_pickle=True)
    return file.getvalue()


def test_containers_and_nothing_else(tmp_path):
    assert load_container(npy({'a': 1, 'b': np.float32(1)})) == {'a': 1, 'b': 1}
    got = load_container(npy(OrderedDict(a=[np.arange(3), np.array(['x'])])))
    assert got['a'][0].tolist() == [0, 1, 2] and got['a'][1].tolist() == ['x']
    mark = tmp_path / 'ran'
    several = np.empty(2, object)
    several[:] = [1, 2]
    bomb: list = [1]
    for _ in range(40):
        bomb = [bomb, bomb]
    cyclic: list = []
    cyclic.append(cyclic)
    for content, word in (({'a': Runs(os.mkdir, str(mark))}, "it refers to '(posix|nt)' 'mkdir'"),
                          ({'a': Runs(np.array, [1])}, "it refers to 'numpy' 'array'"),
                          ({'a': np.zeros(2, [('x', 'f4')])}, 'not of numbers or text'),
                          ({'a': several}, 'an array of Python objects'), ({'a': bomb}, 'unfolds to more than'),
                          ({'a': cyclic}, 'contains itself')):
        with pytest.raises(ValueError, match=word):
            load_container(npy(content))
    assert not mark.exists()
    with pytest.raises(ValueError, match='not a pickled container'):
        load_container(npy(several))
    with pytest.raises(ValueError, match='refused'):
        load_container(npy({'a': 1})[:-4])


@pytest.mark.parametrize('write, reason', [
    (lambda file: np.savez(file, keypoints=np.zeros(3)), 'no positions_3d or positions_2d in it; it holds keypoints'),
    (lambda file: np.savez(file, positions_3d=np.zeros(3)), 'not a pickled container'),
    (lambda file: np.savez(file, positions_3d={'S1': 3}), 'not contain a dict of subjects'),
    (lambda file: np.savez(file, positions_3d={'S1': {'a': 3}}), 'neither an array nor a list of arrays'),
    (lambda file: np.savez(file, positions_3d={'S1': {'a': np.zeros((4, 15, 3))}}), r'shape \(4, 15, 3\), expected'),
    (lambda file: file.write_bytes(b'x' * 99), 'not an .npz file')],
    ids=['keypoints', 'array', 'subjects', 'number', 'humaneva', 'text'])
def test_other_files_are_refused(tmp_path, write, reason):
    write(tmp_path / 'data_3d_x.npz')
    with pytest.raises(UserError, match=reason):
        load('h36m', tmp_path / 'data_3d_x.npz', tmp_path / 's')


def uav(points):
    lines = [str(points.shape[1])]
    for t in range(points.shape[1]):
        lines.append(str(len(points)))
        for m, body in enumerate(points):
            lines += [f'{m} 0 1 0 1 0 0 0 0 2', '17']
            lines += [' '.join(f'{v:.6f}' for v in joint) + ' 0' * 8 + ' 2' for joint in body[t]]
    return '\n'.join(lines) + '\n'


def test_uavhuman(tmp_path):
    points = RNG.normal(size=(2, T, 17, 3)).round(6)
    name = 'P{:03d}S00G10B10H10UC022000LC021000A{:03d}R0_08241716'
    files = {name.format(0, 3): uav(points), name.format(1, 154): uav(points[:1]), name.format(3, 0): uav(points[1:]),
             name.format(5, 1): uav(points)[:200], name.format(200, 1): uav(points)}
    with zipfile.ZipFile(tmp_path / 'Skeleton.zip', 'w') as archive:
        for stem, text in files.items():
            archive.writestr(f'Skeleton/{stem}.txt', text)
    store = load('uavhuman', tmp_path / 'Skeleton.zip', tmp_path / 's')
    assert store.layout.name == 'coco17' and store.channels == 3 and store.head['units'] == 'unknown'
    np.testing.assert_allclose(store.keypoints(0), points, rtol=1e-5)
    assert store.labels.tolist() == [3, 154, 0] and store.subjects.tolist() == [0, 1, 3] and len(store.classes) == 155
    assert store.splits == dict(csv1_train=store.ids[:1], csv1_test=store.ids[1:], csv2_train=store.ids[::2],
                                csv2_test=store.ids[1:2])
    skipped = {entry['id'].split('/')[-1][:4]: entry['reason'] for entry in store.index['provenance']['skipped']}
    assert 'line' in skipped['P005'] and 'subject 200' in skipped['P200']
    assert any('prepare uavhuman' in line for line in detect(str(tmp_path / 'Skeleton.zip')))


def test_pickle_protocols_of_older_numpy(tmp_path):
    """VideoPose3D's files were written by numpy 1 with protocol 3, which calls numpy.core."""
    old = pickle.dumps(np.array({'S1': {'a': np.zeros((2, 32, 3), np.float32)}}, object), protocol=3).replace(
        b'numpy._core.multiarray', b'numpy.core.multiarray')
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, dict(descr='|O', fortran_order=False, shape=()))
    assert load_container(file.getvalue() + old)['S1']['a'].shape == (2, 32, 3)
