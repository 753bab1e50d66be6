"""Frames that begin again, identities of some persons only, and joints whose names or numbers give their order."""
import json

import numpy as np
import pytest

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.detect import detect
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS

NAMES = LAYOUTS['coco17'].joints
POINTS = np.random.default_rng(0).uniform(100, 400, (17, 2)).round(1)


def imported(tmp_path, content, ending='json', importer='pose', **options):
    folder = tmp_path / 'in'
    folder.mkdir()
    (folder / f'a.{ending}').write_text(content if isinstance(content, str) else json.dumps(content))
    with StoreWriter(tmp_path / 'store', source='test') as writer:
        IMPORTERS[importer](str(folder), writer, **options)
    return SkeletonStore(tmp_path / 'store')


def notes(store):
    return '; '.join(entry['reason'] for entry in store.index['provenance']['noted'])


def one(t, across=0, **more):
    return dict(keypoints=(POINTS + t + across).tolist(), keypoint_scores=[.9] * 17, **more)


def table(rows, columns=(), axes='xy', cells=()):
    """Rows of (own cells, t) under a header with further columns."""
    head = [*columns, *(f'{name}_{axis}' for name in NAMES for axis in axes)]
    values = [[*own, *(f'{value + t:.1f}' for point in POINTS for value in (*point, *cells))] for own, t in rows]
    return '\n'.join(','.join(map(str, row)) for row in [head, *values])


AGAIN = dict(
    mmpose=dict(instance_info=[dict(frame_id=t % 5, instances=[one(t)]) for t in range(10)]),
    mediapipe=[dict(frame=t % 5, landmarks=[dict(x=.1 * i, y=.2, z=.3, visibility=1) for i in range(33)])
               for t in range(10)],
    kinetics=dict(data=[dict(frame_index=t % 5, skeleton=[dict(pose=[.5] * 36, score=[.9] * 18)]) for t in range(10)]),
    azure=dict(frames=[dict(frame_id=t % 5, bodies=[dict(body_id=1, joint_positions=[[t + i, 10., 2000.]
                                                                                    for i in range(32)])])
                       for t in range(10)]),
    table=table([((t % 5,), t) for t in range(10)], ['frame']),
    times=table([((t % 5 / 10,), t) for t in range(10)], ['time']))


@pytest.mark.parametrize('program', AGAIN)
def test_frames_that_begin_again_are_not_put_together(tmp_path, program):
    content = AGAIN[program]
    with pytest.raises(UserError, match=r'a\.\w+: frame 0(\.0)? comes again after frame (4|0\.4): are these several'):
        imported(tmp_path, content, 'csv' if isinstance(content, str) else 'json')


def test_persons_one_after_the_other_with_identities(tmp_path):
    rows = [((t, who), t + 300 * who) for who in (0, 1) for t in range(5)]
    store = imported(tmp_path, table(rows, ['frame', 'track']), 'csv')
    assert store.keypoints(0).shape == (2, 5, 17, 2) and not notes(store)


def test_rows_of_one_frame_are_several_persons(tmp_path):
    store = imported(tmp_path, table([((t,), t + across) for t in range(5) for across in (0, 300)], ['frame']), 'csv')
    assert store.keypoints(0).shape == (2, 5, 17, 2)


@pytest.mark.parametrize('importer', ['pose', 'arrays'])
@pytest.mark.parametrize('long', [False, True])
def test_names_of_columns_give_the_order_of_the_joints(tmp_path, importer, long):
    order = np.random.default_rng(1).permutation(17)
    values = np.concatenate([POINTS, np.linspace(.1, .9, 17)[:, None]], 1)[order].astype(str).tolist()
    names = [NAMES[i] for i in order]
    if long:
        text = '\n'.join(['frame,joint,x,y,score', *(','.join(map(str, (t, name, *row))) for t in range(3)
                                                     for name, row in zip(names, values, strict=True))])
    else:
        text = '\n'.join([','.join(f'{name}_{axis}' for name in names for axis in ('x', 'y', 'score')),
                          *[','.join(sum(values, []))] * 3])
    store = imported(tmp_path, text, 'csv', importer, layout='coco17')
    np.testing.assert_allclose(store.keypoints(0)[0], [POINTS] * 3, rtol=1e-6)
    np.testing.assert_allclose(store.scores(0)[0, 0], np.linspace(.1, .9, 17), rtol=1e-6)


@pytest.mark.parametrize('importer', ['pose', 'arrays'])
def test_names_of_columns_that_the_layout_does_not_have(tmp_path, importer):
    text = table([((), t) for t in range(3)]).replace('nose', 'head')
    with pytest.raises(UserError, match='joints of the file are not those of coco17: it has head and lacks nose'):
        imported(tmp_path, text, 'csv', importer, layout='coco17')
    assert '--layout LAYOUT.json' in [*detect(str(tmp_path / 'in'))][1]


@pytest.mark.parametrize('column', ['filename', 'image'])
@pytest.mark.parametrize('importer', ['pose', 'arrays'])
def test_rows_that_are_named_by_their_pictures(tmp_path, column, importer):
    """In order of the numbers, with a gap; an index of pandas says nothing about the order of frames."""
    rows = [((t, f'{clip}_{t:04d}.jpg'), t) for clip in ('run', 'walk') for t in (3, 1, 0)]
    store = imported(tmp_path, table(rows, ['', column]), 'csv', importer,
                     **(dict(layout='coco17') if importer == 'arrays' else {}))
    assert store.ids == ['a/run', 'a/walk'] and store.frames.tolist() == [4, 4] and not notes(store)
    np.testing.assert_allclose(store.keypoints(1)[0, [0, 1, 3]], POINTS + np.array([0, 1, 3])[:, None, None], rtol=1e-6)


def test_two_persons_of_a_picture_and_pictures_next_to_a_video(tmp_path):
    pictures = table([((f'v/{t}.png',), t + across) for t in range(4) for across in (0, 500)], ['file'])
    store = imported(tmp_path, pictures, 'csv')
    assert store.ids == ['a'] and (store.persons.tolist(), store.frames.tolist()) == ([2], [4])
    (tmp_path / 'next').mkdir()
    both = table([((f'clip{t // 3}', f'{t}.png'), t) for t in range(6)], ['video', 'img'])
    assert imported(tmp_path / 'next', both, 'csv').frames.tolist() == [3, 3]


def test_pictures_without_a_number_are_clips(tmp_path):
    store = imported(tmp_path, table([((f'{name}.jpg',), 0) for name in ('cat', 'dog')], ['file']), 'csv')
    assert store.ids == ['a/cat.jpg', 'a/dog.jpg']


def test_identities_in_labels_of_ultralytics(tmp_path):
    """The first person of a video has the identity 1. Only identities tell that the two change their places."""
    (tmp_path / 'in').mkdir()
    for t in range(6):
        rows = [[0, .5, .5, .2, .9, *np.tile([.2 + .5 * ((who + t) % 2), .5, .9], 17), who] for who in (1, 2)]
        (tmp_path / 'in' / f'v_{t}.txt').write_text('\n'.join(' '.join(map(str, row)) for row in rows))
    with StoreWriter(tmp_path / 'store', source='test') as writer:
        IMPORTERS['pose'](str(tmp_path / 'in'), writer)
    store = SkeletonStore(tmp_path / 'store')
    np.testing.assert_allclose(store.keypoints(0)[0, :, 0, 0], [.7, .2] * 3, rtol=1e-6)
    assert store.persons.tolist() == [2] and not notes(store)


def test_a_frame_without_a_number_among_others(tmp_path):
    frames = [dict(dict(frame_id=2 * t) if t != 3 else {}, instances=[one(t)]) for t in range(5)]
    store = imported(tmp_path, dict(instance_info=frames))
    assert store.keypoints(0).shape[1] == 5 and '1 frames without a number' in notes(store)


@pytest.mark.parametrize('kind', ['json', 'csv'])
def test_identities_of_some_persons_only_are_noted(tmp_path, kind):
    if kind == 'json':
        content = [[one(t, track_id=7), one(t, 300)] for t in range(5)]
    else:
        content = table([((t, who), t + across) for t in range(5) for who, across in ((7, 0), ('', 300))],
                        ['frame', 'person'])
    store = imported(tmp_path, content, kind)
    assert len(store.keypoints(0)) == 2 and 'only 5 of 10 detections have an identity' in notes(store)


@pytest.mark.parametrize('wrap', [float, lambda number: [number], lambda number: [float(number)]])
def test_alphapose_writes_identities_as_floats_and_lists(tmp_path, wrap):
    """Two persons who exchange their places are told apart only by the identities."""
    store = imported(tmp_path, [dict(image_id=f'{t}.jpg', score=1., idx=wrap(who), keypoints=np.c_[
        POINTS + 300 * (who ^ (t > 4)), np.ones(17)].ravel().tolist()) for t in range(10) for who in (0, 1)])
    moved = np.abs(np.diff(store.keypoints(0), axis=1)).max((0, 2, 3))
    np.testing.assert_allclose(moved, 300 * np.eye(9)[4], atol=1e-3)
    assert not notes(store)


@pytest.mark.parametrize('key', ['track_id', 'person_id'])
def test_persons_who_change_places_keep_their_identities(tmp_path, key):
    store = imported(tmp_path, dict(frames=[dict(frame=t, persons=[one(t, 500 * ((who + t) % 2), **{key: who})
                                                                   for who in (1, 2)]) for t in range(6)]))
    assert (np.abs(np.diff(store.keypoints(0)[:, :, 0, 0])) > 400).all() and not notes(store)


def named(t, order=1, across=0, **more):
    joints = [dict(x=float(x + t + across), y=float(y), score=.9, name=name)
              for name, (x, y) in zip(NAMES, POINTS, strict=True)]
    return dict(keypoints=joints[::order], **more)


def test_tensorflow_js_identities(tmp_path):
    store = imported(tmp_path, [[named(t, across=300 * (who ^ (t > 4)), id=who) for who in (0, 1)] for t in range(10)])
    assert np.abs(np.diff(store.keypoints(0)[..., 0], axis=1)).max() > 250


@pytest.mark.parametrize('wrap', ['tensorflow', 'people'])
@pytest.mark.parametrize('orders', [(1, 1), (-1, -1), (1, -1), (-1, 1)])
def test_names_of_joints_give_their_order_in_each_frame(tmp_path, wrap, orders):
    frames = [[named(t, orders[t % 2])] for t in range(4)]
    store = imported(tmp_path, frames if wrap == 'tensorflow' else dict(frames=[dict(people=one) for one in frames]))
    np.testing.assert_allclose(store.keypoints(0)[0, :, :, 0], POINTS[:, 0] + np.arange(4)[:, None], rtol=1e-6)


def test_names_in_files_of_one_picture_each(tmp_path):
    folder = tmp_path / 'walk'
    folder.mkdir()
    for t in range(4):
        (folder / f'{t}.json').write_text(json.dumps([named(t, (-1) ** t)]))
    with StoreWriter(tmp_path / 's', source='test') as writer:
        IMPORTERS['pose'](str(folder), writer)
    np.testing.assert_allclose(SkeletonStore(tmp_path / 's').keypoints(0)[0, :, :, 0],
                               POINTS[:, 0] + np.arange(4)[:, None], rtol=1e-6)


def test_persons_with_other_names_are_left_out_and_counted(tmp_path):
    other = dict(keypoints=[dict(joint, name=f'{joint["name"]}_2') for joint in named(3)['keypoints']])
    store = imported(tmp_path, dict(frames=[dict(people=[named(t)]) for t in range(3)] + [dict(people=[other])]))
    assert not store.keypoints(0)[0, 3].any() and 'joints with other names than those of the first' in notes(store)


@pytest.mark.parametrize('first', [0, 1])
def test_numbers_of_landmarks_give_their_order(tmp_path, first):
    marks = [dict(id=i + first, x=i / 50, y=.5, z=.1, visibility=1) for i in range(33)]
    store = imported(tmp_path, [marks[::-1]] * 3)
    np.testing.assert_allclose(store.keypoints(0)[0, 0, :, 0], -np.arange(33) / 50, rtol=1e-6)


def test_names_of_azure_kinect(tmp_path):
    names = [name.upper() for name in LAYOUTS['azure32'].joints]
    rows = [[float(i), 0., 2000.] for i in range(32)]
    frames = [dict(frame_id=0, bodies=[dict(body_id=1, joint_positions=rows[::-1])])]
    store = imported(tmp_path, dict(joint_names=names[::-1], frames=frames))
    np.testing.assert_allclose(store.keypoints(0)[0, 0, :, 0], -np.arange(32) / 1000, atol=1e-7)


@pytest.mark.parametrize('importer', ['pose', 'arrays'])
def test_a_column_named_z_is_no_score(tmp_path, importer):
    content = table([((t,), 0) for t in range(3)], ['frame'], 'xyz', [1.5])
    store = imported(tmp_path, content, 'csv', importer, **(dict(layout='coco17') if importer == 'arrays' else {}))
    assert store.channels == 3 and store.index['third'] == 'depth' and (store.keypoints(0)[..., 2] == 1.5).all()


@pytest.mark.parametrize('axes', ['xyz', 'xzy'])
def test_z_of_dicts_is_no_score(tmp_path, axes):
    joints = [dict(zip(axes, (x, y, 1.5), strict=True), name=name) for name, (x, y) in zip(
        NAMES, POINTS.tolist(), strict=True)]
    store = imported(tmp_path, dict(frames=[dict(people=[dict(keypoints=joints)])] * 3))
    assert store.channels == 3 and store.index['third'] == 'depth'


def test_z_of_some_joints(tmp_path):
    lines = [line.rsplit(',', 1)[0] for line in table([((t,), 0) for t in range(3)], ['frame'], 'xyz', [1.5]).split()]
    with pytest.raises(UserError, match="16 joints have a column for z, but 'right_ankle' has none"):
        imported(tmp_path, '\n'.join(lines), 'csv')


@pytest.mark.parametrize('importer', ['pose', 'arrays'])
def test_columns_that_only_some_joints_have_are_noted(tmp_path, importer):
    lines = table([((t,), 0) for t in range(3)], ['frame']).split()
    lines = [lines[0] + ',nose_score,tail_y', *(line + ',.9,5' for line in lines[1:])]
    store = imported(tmp_path, '\n'.join(lines), 'csv', importer, **(
        dict(layout='coco17') if importer == 'arrays' else {}))
    assert 'columns that other joints do not have (nose_score, tail_y)' in notes(store)


def test_scores_of_some_joints_only(tmp_path):
    people = [named(t) for t in range(4)]
    del people[3]['keypoints'][0]['score']
    store = imported(tmp_path, dict(frames=[dict(people=[person]) for person in people]))
    assert store.scores(0).all((0, 2)).tolist() == [True] * 3 + [False]
    assert 'some joints have score, others do not' in notes(store)


def test_openpose_in_3d_says_so(tmp_path):
    person = dict(pose_keypoints_2d=[], pose_keypoints_3d=[1.] * 100)
    with pytest.raises(UserError, match='persons with pose_keypoints_3d only, which is not read'):
        imported(tmp_path, dict(version=1.3, people=[person]))
