"""Bandai-Namco's motions: .bvh files as published, and the .npz."""
import io

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.bandai import ACTIONS, JOINTS, STYLES
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

PARENTS = [-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
CLIPS = [('walk', 'normal', 1), ('walk', 'active', 2), ('run', 'normal', 1), ('run', 'elderly', 3)]
STANDING = np.random.default_rng(0).integers(-400, 900, (21, 3))  # millimetres


def track(frames: int, seed: int) -> np.ndarray:
    """(T, 21, 3) integer millimetres."""
    return STANDING + np.random.default_rng(seed).integers(-20, 21, (frames, 21, 3)).cumsum(0)


def arrays(**change) -> dict:
    tracks = [track(6 + i, i) for i in range(len(CLIPS))]
    steps = np.concatenate([np.concatenate([clip[:1], np.diff(clip, axis=0)]) for clip in tracks])
    return dict(step_mm=steps.astype(np.int16), frames=np.array([len(clip) for clip in tracks], np.int32), fps=15,
                ids=np.array([f'{action}_{style}_{number:03d}' for action, style, number in CLIPS]),
                joints=np.array(JOINTS)) | change


def load(path, out, **options):
    with StoreWriter(out) as writer:
        IMPORTERS['bandai'](str(path), writer, **options)
    return SkeletonStore(out)


def bvh(clip: np.ndarray, seconds: float, joints=JOINTS) -> str:
    """Joint positions (T, 21, 3) in centimetres, relative to the parents, without rotations."""
    children = {i: [j for j, parent in enumerate(PARENTS) if parent == i] for i in range(-1, 21)}

    def block(i: int) -> str:
        inner = ''.join(map(block, children[i])) or 'End Site\n{\nOFFSET 0 1 0\n}\n'
        return (f'JOINT {joints[i]}\n{{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation '
                f'Yrotation\n{inner}}}\n')

    def order(i: int) -> list[int]:
        return [i, *(j for child in children[i] for j in order(child))]

    rows = []
    for frame in clip:
        row = [0.] * 6  # joint_Root, which the layout does not contain
        for i in order(0):
            row += [*(frame[i] - (frame[PARENTS[i]] if PARENTS[i] >= 0 else 0)), 0, 0, 0]
        rows.append(' '.join(f'{value:.6f}' for value in row))
    return ('HIERARCHY\nROOT joint_Root\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation '
            f'Yrotation\n{block(0)}}}\nMOTION\nFrames: {len(clip)}\nFrame Time: {seconds}\n' + '\n'.join(rows) + '\n')


def test_the_layout_is_that_of_the_files():
    layout = get_layout('bandai21')
    assert [parent if parent != i else -1 for i, parent in enumerate(layout.parents)] == PARENTS
    sides = {'L': 'left', 'R': 'right'}
    for name, joint in zip(JOINTS, layout.joints, strict=True):
        assert not name[-2:-1] == '_' or joint.startswith(sides[name[-1]])


def test_an_npz(tmp_path):
    np.savez(tmp_path / 'b.npz', **arrays())
    store = load(tmp_path / 'b.npz', tmp_path / 's')
    assert store.ids == ['walk_normal_001', 'walk_active_002', 'run_normal_001', 'run_elderly_003']
    for i in range(len(CLIPS)):
        np.testing.assert_allclose(store.keypoints(i)[0], track(6 + i, i) / 1000, atol=1e-6)
    assert store.classes == ACTIONS and [ACTIONS[label] for label in store.labels] == ['walk', 'walk', 'run', 'run']
    assert [sample['style'] for sample in store.samples] == ['normal', 'active', 'normal', 'elderly']
    assert store.splits['train'] == store.splits['style_train'] == ['walk_normal_001', 'run_normal_001']
    assert store.splits['action_test'] == ['run_normal_001', 'run_elderly_003']
    assert store.layout == get_layout('bandai21') and store.head['units'] == 'm'
    styles = load(tmp_path / 'b.npz', tmp_path / 't', labels='style')
    assert styles.classes == STYLES and [STYLES[label] for label in styles.labels] == ['normal', 'active', 'normal',
                                                                                     'elderly']
    assert styles.splits['test'] == styles.splits['action_test'] == ['run_normal_001', 'run_elderly_003']


def test_bvh_files_as_published(tmp_path):
    """30 frames per second, centimetres, and a root above the hips give the same clips as the npz."""
    for i, (action, style, number) in enumerate(CLIPS):
        clip = np.repeat(track(6 + i, i) / 10, 2, axis=0)[:-1]
        clip[1::2] = (clip[:-1:2] + clip[2::2]) / 2  # between the frames at 15 per second
        (tmp_path / f'dataset-2_{action}_{style}_{number:03d}.bvh').write_text(bvh(clip, 1 / 30))
    (tmp_path / 'dataset-2_fly_normal_001.bvh').write_text(bvh(clip, 1 / 30))
    (tmp_path / 'dataset-2_walk_normal_009.bvh').write_text(bvh(clip, 1 / 30, ['Hip', *JOINTS[1:]]))
    store = load(tmp_path, tmp_path / 's', jobs=1)
    assert sorted(store.ids) == sorted(f'{action}_{style}_{number:03d}' for action, style, number in CLIPS)
    for i, (action, style, number) in enumerate(CLIPS):
        found = store.keypoints(store.positions[f'{action}_{style}_{number:03d}'])[0]
        np.testing.assert_allclose(found, track(6 + i, i) / 1000, atol=1e-5)
    assert {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']} == {
        'dataset-2_fly_normal_001.bvh': "'dataset-2_fly_normal_001' is not named ACTION_STYLE_NUMBER by an action and "
                                        'a style of the data set',
        'dataset-2_walk_normal_009.bvh': "no joint 'Hips'"}


@pytest.mark.parametrize('change, words', [
    (dict(frames=np.array([6, 7, 8, 8])), 'not the lengths of clips with 30 frames'),
    (dict(frames=np.array([0, 13, 8, 9])), 'not the lengths'),
    (dict(frames=np.array([6, 2**62, 2**62, 2**62])), 'not the lengths'),
    (dict(fps=30), '30 frames per second'), (dict(joints=np.array(['a'] * 21)), 'joints are not those'),
    (dict(ids=np.arange(4)), 'names of 4 clips'), (dict(step_mm=np.zeros((30, 20, 3), np.int16)), r'\(30, 20, 3\)'),
    (dict(step_mm=np.zeros((30, 21, 3))), 'float64'), (dict(ids=np.array([{}] * 4)), 'npz of this data set')])
def test_damaged_npz_files(tmp_path, change, words):
    np.savez(tmp_path / 'b.npz', **arrays(**change))
    with pytest.raises(UserError, match=words):
        load(tmp_path / 'b.npz', tmp_path / 's')
    assert not (tmp_path / 's').exists()


def test_names_and_files_that_do_not_belong(tmp_path):
    names = arrays()['ids'].copy()
    names[1] = 'walk_../../x_1'[:len(names[1])]
    np.savez(tmp_path / 'b.npz', **arrays(ids=names))
    store = load(tmp_path / 'b.npz', tmp_path / 's')
    assert len(store) == 3 and store.index['provenance']['skipped'][0]['id'] == names[1]
    np.testing.assert_allclose(store.keypoints(1)[0], track(8, 2) / 1000, atol=1e-6)  # later clips keep their frames
    data = io.BytesIO()
    np.savez(data, step_mm=np.zeros(3))
    (tmp_path / 'b.npz').write_bytes(data.getvalue())
    for content, words in ((data.getvalue(), 'npz of this data set'), (b'no zip', 'npz of this data set')):
        (tmp_path / 'b.npz').write_bytes(content)
        with pytest.raises(UserError, match=words):
            load(tmp_path / 'b.npz', tmp_path / 't')
    (tmp_path / 'none').mkdir()
    with pytest.raises(UserError, match='no .bvh files, and no .npz'):
        load(tmp_path / 'none', tmp_path / 't')
    (tmp_path / 'c.npz').write_bytes(b'')
    with pytest.raises(UserError, match='name one file'):
        load(tmp_path, tmp_path / 't')


def test_the_real_motions(real_data, tmp_path):
    file = real_data / 'bandai2.npz'
    if not file.exists():
        pytest.skip(f'{file} is not there')
    store = load(file, tmp_path / 's')
    assert len(store) == 2902 and (store.persons * store.frames).sum() == 193_186
    assert set(store.labels) == set(range(10))
    assert (int(store.frames.min()), int(np.median(store.frames)), int(store.frames.max())) == (10, 59, 233)
    bones = np.linalg.norm(np.diff(store.keypoints(700)[0][:, [6, 7]], axis=1), axis=-1)
    assert bones.std() < .005 and .15 < bones.mean() < .45  # the upper arm keeps its length
    head, foot = (store.keypoints(5)[0][:, get_layout('bandai21').named[joint], 1] for joint in ('head', 'left_ankle'))
    assert (head > foot + 1).all()  # metres, y up
