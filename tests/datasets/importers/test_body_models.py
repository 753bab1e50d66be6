"""AMASS through a body model, and Florence 3D Actions."""
import io

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

RNG = np.random.default_rng(0)
PARENTS = [max(parent, 0) for parent in get_layout('smpl22').parents]


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture
def model(tmp_path):
    """A body of 30 vertices, of which the first 22 are the joints."""
    rest = RNG.normal(size=(30, 3))
    shapes = RNG.normal(size=(30, 3, 4)) * .1
    (tmp_path / 'model.npz').write_bytes(npz(
        v_template=rest, shapedirs=shapes, J_regressor=np.eye(30), kintree_table=np.array([PARENTS, range(22)]),
        f=np.array([1]), bs_type='lrotmin'))
    return str(tmp_path / 'model.npz'), rest[:22], shapes[:22]


def load(tmp_path, importer, files, **options):
    (tmp_path / 'raw').mkdir(exist_ok=True)
    for name, content in files.items():
        (tmp_path / 'raw' / name).write_bytes(content)
    with StoreWriter(tmp_path / 's', overwrite=True) as writer:
        IMPORTERS[importer](str(tmp_path / 'raw'), writer, **options)
    return SkeletonStore(tmp_path / 's')


def test_amass(tmp_path, model):
    file, rest, shapes = model
    trans, betas, poses = RNG.normal(size=(9, 3)), RNG.normal(size=16), np.zeros((9, 156))
    still = npz(poses=poses, trans=trans, betas=betas, mocap_framerate=120., gender='neutral')
    store = load(tmp_path, 'amass', {'still.npz': still}, model=file, fps=0)
    body = rest + shapes @ betas[:4]
    expected = body + trans[:, None]
    assert store.layout.name == 'smpl22' and store.head['units'] == 'm'
    np.testing.assert_allclose(store.keypoints(0)[0], np.stack(
        [expected[..., 0], expected[..., 2], -expected[..., 1]], -1), atol=1e-5)  # z points up in the file
    poses[:, 3 * 16:3 * 16 + 3] = [0, 0, np.pi / 2]  # the left shoulder by a quarter turn about z
    turned = npz(poses=poses, trans=trans * 0, betas=betas, mocap_framerate=120.)
    store = load(tmp_path, 'amass', {'turned.npz': turned}, model=file)
    elbow, shoulder = body[18] - body[16], body[16]
    x, y, z = shoulder + [-elbow[1], elbow[0], elbow[2]]
    assert store.ids == ['still', 'turned'] and store.frames.tolist() == [3, 3]  # 120 to 30 frames per second
    np.testing.assert_allclose(store.keypoints(1)[0, 1, 18], [x, z, -y], atol=1e-5)


def test_amass_without_a_frame_rate_says_so(tmp_path, model):
    content = npz(poses=np.zeros((9, 156)), trans=np.zeros((9, 3)))
    for fps, said in ((30., ['its frame rate is unknown, so all frames are kept']), (0, [])):
        store = load(tmp_path, 'amass', {'a.npz': content}, model=model[0], fps=fps)
        assert store.frames.tolist() == [9]
        assert [entry['reason'] for entry in store.index['provenance']['noted']] == said


def test_amass_without_a_body_model_says_where_to_get_one(tmp_path):
    with pytest.raises(UserError, match='the body model computes the joints: download .* --model MODEL.npz'):
        load(tmp_path, 'amass', {'a.npz': npz(poses=np.zeros((3, 156)), trans=np.zeros((3, 3)))})
    with pytest.raises(UserError, match='not a body model; it needs v_template'):
        IMPORTERS['amass'](str(tmp_path / 'raw'), None, model=str(tmp_path / 'raw' / 'a.npz'))


@pytest.mark.parametrize('arrays, reason', [
    (dict(poses=np.zeros((3, 30)), trans=np.zeros((3, 3))), 'expected'), (dict(poses=np.zeros((3, 66))), 'not an AM'),
    (dict(poses=np.full((3, 66), np.nan), trans=np.zeros((3, 3))), 'NaN')])
def test_what_is_no_amass_is_skipped(tmp_path, model, arrays, reason):
    good = npz(poses=np.zeros((3, 66)), trans=np.zeros((3, 3)))
    store = load(tmp_path, 'amass', {'good.npz': good, 'x.npz': npz(**arrays)}, model=model[0])
    entry, = store.index['provenance']['skipped']
    assert store.ids == ['good'] and reason in entry['reason']


def test_florence(tmp_path):
    joints = RNG.normal(size=(2, 4, 45)).round(3) * 1000
    rows = [f'{v + 1} {v + 3} {c} ' + ' '.join(map(str, row)) for v, c in ((0, 2), (1, 9))
            for row in joints[v].tolist()]
    name = 'Florence_dataset_WorldCoordinates.txt'
    store = load(tmp_path, 'florence', {name: '\n'.join([*rows, '9 9 12 ' + '1 ' * 45]).encode()})
    assert store.ids == ['v001_s03_a2', 'v002_s04_a9'] and store.labels.tolist() == [1, 8]
    assert store.splits == dict(xsub_train=[store.ids[0]], xsub_test=[store.ids[1]])
    np.testing.assert_allclose(store.keypoints(1)[0], joints[1].reshape(4, 15, 3) / 1000, rtol=1e-5)
    assert store.index['provenance']['skipped'][0]['reason'] == 'category 12 is outside 1..9'
    with pytest.raises(UserError, match='line 2: 1 coordinates, expected 15 joints'):
        load(tmp_path, 'florence', {name: (rows[0] + '\n1 2 3 4').encode()})
