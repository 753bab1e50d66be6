"""Files in the format of each program: detected name, layout, and values in the right place."""
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.detect import detect
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

T = 6


def body(joints, channels=2, seed=0, size=40., at=200.):
    """A moving person in pixels, (T, V, channels), and scores (T, V)."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0, size, (joints, channels)) + at
    return (shape + rng.uniform(0, 2, (T, 1, channels))).round(3), rng.uniform(.3, .9, (T, joints)).round(3)


def flat(points, scores):
    return np.concatenate([points, scores[..., None]], -1).ravel().tolist()


def write(folder, files):
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def load(tmp_path, contents, **options):
    raw = write(tmp_path / 'raw', contents)
    with StoreWriter(tmp_path / 's', overwrite=True) as writer:
        IMPORTERS['pose'](str(raw), writer, **options)
    return SkeletonStore(tmp_path / 's')


def notes(store, what='noted'):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][what]}


def alphapose(joints, track=False):
    points, scores = body(joints)
    return [dict(image_id=f'{i}.jpg', category_id=1, keypoints=flat(points[i], scores[i]), score=2., box=[1, 2, 3, 4],
                 **(dict(idx=1) if track else {})) for i in range(T)]


P17, S17 = body(17)
P18, S18 = body(18)
P25, S25 = body(25)
OPENPOSE = [dict(version=1.3, people=[dict(person_id=[-1], pose_keypoints_2d=flat(P25[i], S25[i]))]) for i in range(T)]
MMPOSE = [dict(keypoints=P17[i].tolist(), keypoint_scores=S17[i].tolist(), bbox=[[1, 2, 3, 4]], bbox_score=.9)
          for i in range(T)]
YOLO = [dict(name='person', **{'class': 0}, confidence=.9, box={}, keypoints=dict(
    x=P17[i, :, 0].tolist(), y=P17[i, :, 1].tolist(), visible=S17[i].tolist())) for i in range(T)]
PIFPAF = [dict(keypoints=flat(P17[i], S17[i]), bbox=[1, 2, 3, 4], score=.8, category_id=1) for i in range(T)]
RELATIVE = P17 / 1000
FORMS = {  # name -> (files, what it looks like, layout, points, units)
    'openpose frames of any naming': ({f'clip/{i:03d}.json': OPENPOSE[i] for i in range(T)}, 'an OpenPose picture',
                                      'openpose25', P25, 'px'),
    'openpose coco': ({f'a_{i}_keypoints.json': dict(people=[dict(pose_keypoints_2d=flat(P18[i], S18[i]))])
                       for i in range(T)}, 'an OpenPose picture', 'coco18', P18, 'px'),
    'controlnet': ({'c.json': [dict(frame, canvas_width=512, canvas_height=512) for frame in OPENPOSE]},
                   "ControlNet's list", 'openpose25', P25, 'px'),
    'alphapose coco': ({'alphapose-results.json': alphapose(17)}, 'AlphaPose results', 'coco17', body(17)[0], 'px'),
    'alphapose halpe26': ({'r.json': alphapose(26)}, 'AlphaPose results', 'halpe26', body(26)[0], 'px'),
    'alphapose halpe136': ({'r.json': alphapose(136, True)}, 'AlphaPose results', 'halpe136', body(136)[0], 'px'),
    'poseflow': ({'r.json': {f'{i}.jpg': [dict(keypoints=flat(P17[i], S17[i]), idx=1)] for i in range(T)}}, 'PoseFlow',
                 'coco17', P17, 'px'),
    'mmpose one file': ({'v.json': dict(meta_info={}, instance_info=[dict(frame_id=i + 1, instances=[MMPOSE[i]])
                                                                     for i in range(T)])}, 'MMPose', 'coco17', P17,
                        'px'),
    'mmpose a file a picture': ({f'v/{i:06d}.json': [MMPOSE[i]] for i in range(T)}, 'a picture of MMPose', 'coco17',
                                P17, 'px'),
    'mmpose inferencer, nested': ({'v.json': dict(predictions=[[[MMPOSE[i]] for i in range(T)]])}, 'MMPose', 'coco17',
                                  P17, 'px'),
    'mmpose whole body': ({'v.json': [[dict(keypoints=body(133)[0][i].tolist(), keypoint_scores=body(133)[1][i].tolist(
        ))] for i in range(T)]}, 'MMPose', 'coco_wholebody133', body(133)[0], 'px'),
    'ultralytics a file a picture': ({f'v/frame{i}.json': [YOLO[i]] for i in range(T)}, 'a picture of Ultralytics',
                                     'coco17', P17, 'px'),
    'ultralytics labels': ({f'labels/v_{i + 1}.txt': ' '.join(map(str, [0, .5, .5, .2, .9, *np.concatenate(
        [RELATIVE[i], S17[i][:, None]], 1).ravel()])) for i in range(T)}, "a picture of Ultralytics' .txt", 'coco17',
        RELATIVE, 'relative'),
    'openpifpaf a file a picture': ({f'v/{i:05d}.jpg.predictions.json': [PIFPAF[i]] for i in range(T)},
                                    'a picture of OpenPifPaf', 'coco17', P17, 'px'),
    'openpifpaf a line a frame': ({'v.jsonl': '\n'.join(json.dumps(dict(frame=i + 1, predictions=[PIFPAF[i]]))
                                                        for i in range(T))}, 'OpenPifPaf', 'coco17', P17, 'px'),
    'vitpose': ({'v.json': dict(keypoints=[{'0': np.concatenate([P17[i][:, ::-1], S17[i][:, None]], 1).tolist()}
                                           for i in range(T)], skeleton={str(i): name for i, name in enumerate(
                                               get_layout('coco17').joints)})}, 'ViTPose', 'coco17', P17, 'px'),
    'kinetics-skeleton': ({'v.json': dict(data=[dict(frame_index=i + 1, skeleton=[dict(
        pose=(P18[i] / 1000).ravel().tolist(), score=S18[i].tolist())]) for i in range(T)], label='jump',
        label_index=3)}, 'a Kinetics-skeleton clip', 'coco18', P18 / 1000, 'relative'),
    'movenet of tensorflow.js': ({'v.json': [[dict(score=.9, keypoints=[dict(
        x=x, y=y, score=s, name=name) for (x, y), s, name in zip(P17[i].tolist(), S17[i].tolist(), get_layout(
            'coco17').joints, strict=True)])] for i in range(T)]}, 'TensorFlow.js', 'coco17', P17, 'px'),
}


@pytest.mark.parametrize('form', FORMS)
def test_the_program_is_recognised_and_its_numbers_are_right(tmp_path, capsys, form):
    files, what, layout, points, units = FORMS[form]
    store = load(tmp_path, files)
    said = capsys.readouterr().out
    assert f'looks like {what}' in said and f'layout {layout}' in said
    assert len(store) == 1 and store.layout.name == layout and store.channels == 2 and store.head['units'] == units
    np.testing.assert_allclose(store.keypoints(0), points[None], rtol=1e-5)
    assert not store.index['provenance']['skipped'] and not store.index['provenance']['noted']
    assert not store.has_scores or store.scores(0).shape == store.keypoints(0).shape[:3] and store.scores(0).min() > 0
    assert store.has_scores or store.head['third'] == 'none'
    text, command = detect(str(tmp_path / 'raw'))
    assert what in text and layout in text and command.startswith('mmskelssl prepare pose ')
    assert form != 'kinetics-skeleton' or store.classes == ['jump'] and store.labels.tolist() == [0]


M33 = np.random.default_rng(3).normal(0, .3, (T, 33, 3)).round(4)
NAMES33 = get_layout('mediapipe33').joints


def landmarks(points):
    return [dict(x=x, y=y, z=z, visibility=.9) for x, y, z in points.tolist()]


MEDIAPIPE = {
    'tasks': [dict(pose_landmarks=[landmarks(abs(p))], pose_world_landmarks=[landmarks(p)]) for p in M33],
    'javascript': [dict(landmarks=[landmarks(abs(p))], worldLandmarks=[landmarks(p)]) for p in M33],
    'solutions': [dict(poseWorldLandmarks=landmarks(p)) for p in M33],
    'flat 132': [np.concatenate([p, np.full((33, 1), .9)], 1).ravel().tolist() for p in M33],
    'flat 99': [p.ravel().tolist() for p in M33],
    'by name': [{name.upper(): mark for name, mark in zip(NAMES33, landmarks(p), strict=True)} for p in M33],
    'by name, shuffled': [{name: mark for name, mark in list(zip(NAMES33, landmarks(p), strict=True))[::-1]}
                          for p in M33],
    'tensorflow.js': dict(frames=[dict(frameNum=i, keypoints=[dict(x=1, y=2, z=3, score=.9, name=n) for n in NAMES33],
                                       keypoints3D=[dict(mark, score=.9, name=name) for name, mark in zip(
                                           NAMES33, landmarks(p), strict=True)]) for i, p in enumerate(M33)])}


@pytest.mark.parametrize('form', MEDIAPIPE)
def test_mediapipe(tmp_path, form):
    store = load(tmp_path, {'v.json': MEDIAPIPE[form]})
    assert store.layout.name == 'mediapipe33' and store.channels == 3 and store.head['units'] == 'm'
    np.testing.assert_allclose(store.keypoints(0)[0], M33 * (-1, -1, 1), rtol=1e-4, atol=1e-6)


def test_image_landmarks_are_said_to_be_so(tmp_path):
    store = load(tmp_path, {'v.json': [dict(landmarks=[landmarks(abs(p))]) for p in M33]})
    assert store.head['units'] == 'image' and np.allclose(store.keypoints(0)[0], abs(M33) * (-1, -1, 1), atol=1e-6)


def test_bodies_in_three_dimensions(tmp_path):
    p19, p32, p13 = body(19, 3)[0], body(32, 3)[0], body(13, 3)[0]
    store = load(tmp_path / 'p', {f'hd/body3DScene_{i:08d}.json': dict(version=.7, univTime=1., bodies=[dict(
        id=3, joints19=flat(p19[i], np.full(19, .5)))]) for i in range(T)})
    assert store.layout.name == 'panoptic19' and store.head['units'] == 'm'
    np.testing.assert_allclose(store.keypoints(0)[0], p19 * (-.01, -.01, .01), rtol=1e-5)
    store = load(tmp_path / 'a', {'v.json': dict(joint_names=[], frames=[dict(frame_id=i, bodies=[dict(
        body_id=1, joint_positions=p32[i].tolist())]) for i in range(T)])})
    assert store.layout.name == 'azure32'
    np.testing.assert_allclose(store.keypoints(0)[0], p32 * (-.001, -.001, .001), rtol=1e-5)
    store = load(tmp_path / 't', {'v.json': dict(njts=13, K=1, frames=[[dict(
        pose3d=p13[i].T.ravel().tolist(), pose2d=[0] * 26)] for i in range(T)])})
    assert store.layout.name == 'smarthome13' and store.head['units'] == 'unknown'
    np.testing.assert_allclose(store.keypoints(0)[0], p13, rtol=1e-5)


# --- persons, frames, clips ------------------------------------------------------------------------------------------

def test_several_videos_in_a_file(tmp_path):
    people = [dict(found, image_id=f'{video}/{i:06d}.jpg') for video in 'ab' for i, found in enumerate(alphapose(17))]
    store = load(tmp_path, {'v.json': people, 'labels.csv': 'name,label\nv/a,walk\nb,run\n'})
    assert store.ids == ['v/a', 'v/b'] and store.frames.tolist() == [T, T] and store.classes == ['run', 'walk']
    assert store.labels.tolist() == [1, 0] and not store.index['provenance']['skipped']
    by_id = [dict(found, image_id=i, video_id=video) for video in (1, 2) for i, found in enumerate(alphapose(17))]
    assert load(tmp_path / 'id', {'v.json': by_id}).ids == ['v/1', 'v/2']


def posetrack(names):
    return dict(categories=[dict(id=1, keypoints=list(names))],
                images=[dict(id=10 + i, file_name=f'val/{v}/{i:06d}.jpg', vid_id=v, width=9, height=9)
                        for v in ('1', '2') for i in range(T)],
                annotations=[dict(image_id=10 + i, track_id=0, keypoints=flat(P17[i], np.ones(17))) for i in range(T)])


def test_the_names_of_joints_in_a_file_decide(tmp_path, capsys):
    names = get_layout('posetrack17').joints
    content = posetrack(names)
    content['images'] = content['images'][:T]
    store = load(tmp_path, {'v.json': content})
    assert store.layout.name == 'posetrack17'
    with pytest.raises(UserError, match=r'not those of coco17: it has head_bottom, head_top and lacks left_eye, '
                                        r'right_eye; its joints are those of posetrack17'):
        load(tmp_path, {'v.json': content}, layout='coco17')
    shuffled = [*get_layout('coco17').joints][::-1]
    store = load(tmp_path / 'c', {'v.json': dict(content, categories=[dict(keypoints=shuffled)])})
    assert store.layout.name == 'coco17'  # in the order of the file
    np.testing.assert_allclose(store.keypoints(0)[0], P17[:, ::-1], rtol=1e-5)
    animal = dict(content, categories=[dict(keypoints=list(get_layout('animal17').joints))])
    assert load(tmp_path / 'a', {'v.json': animal}).layout.name == 'animal17'
    with pytest.raises(UserError, match='which match no known layout'):
        load(tmp_path / 'x', {'v.json': dict(content, categories=[dict(keypoints=[f'j{i}' for i in range(17)])])})
    stills = dict(content, images=[dict(image, vid_id='1', width=i) for i, image in enumerate(content['images'])])
    with pytest.raises(UserError, match='pictures of 6 sizes: these are single pictures'):
        load(tmp_path / 'y', {'v.json': stills})


def test_one_picture_alone_is_asked_about(tmp_path):
    with pytest.raises(UserError, match='6 persons: is it one picture .* --files to pictures or clips'):
        load(tmp_path, {'v.json': MMPOSE})
    store = load(tmp_path, {'v.json': MMPOSE}, files='clips')
    np.testing.assert_allclose(store.keypoints(0), P17[None], rtol=1e-5)


def test_numbers_that_are_left_out_are_empty_frames_and_a_step_is_a_step(tmp_path):
    frames = {f'v/{i * 5:04d}.json': [MMPOSE[i]] for i in (0, 1, 3, 5)}
    store = load(tmp_path, frames)
    assert store.keypoints(0)[0].any((1, 2)).tolist() == [True, True, False, True, False, True]


@pytest.mark.parametrize('what, said', [
    (dict(keypoints=None), 'persons without keypoints'), ({}, 'detections of something else'),
    (dict(keypoints=[]), 'persons without keypoints'), (dict(keypoints=[[None, None]] * 17), 'persons without')])
def test_one_bad_person_does_not_lose_a_clip(tmp_path, what, said):
    frames = [[found] for found in MMPOSE]
    frames[2] = [{key: value for key, value in MMPOSE[2].items() if key not in ('keypoints', 'keypoint_scores')} | what]
    store = load(tmp_path, {'v.json': frames})
    assert store.frames.tolist() == [T] and not store.keypoints(0)[0, 2].any() and store.keypoints(0)[0, 3].any()
    assert said in notes(store)['v']


def test_one_bad_joint_does_not_lose_a_clip(tmp_path):
    frames = json.loads(json.dumps([[found] for found in MMPOSE]))
    frames[1][0]['keypoints'][4] = None
    frames[2][0]['keypoints'][5] = [float('nan'), 1e300]
    store = load(tmp_path, {'v.json': frames})
    assert not store.keypoints(0)[0, 1, 4].any() and not store.keypoints(0)[0, 2, 5].any()
    assert '2 joints without numbers' in notes(store)['v'] and np.count_nonzero(store.keypoints(0)) == T * 34 - 4


def test_third_numbers(tmp_path, capsys):
    lifted = [dict(frame_id=i, instances=[dict(keypoints=np.concatenate([P17[i], P17[i][:, :1] - 150], 1).tolist(),
                                               keypoint_scores=S17[i].tolist())]) for i in range(T)]
    with pytest.raises(UserError, match='17 joints in 3D, which the file does not name.*h36m17'):
        load(tmp_path, {'v.json': lifted})
    store = load(tmp_path, {'v.json': lifted}, layout='h36m17')
    assert store.channels == 3 and store.head['third'] == 'depth' and np.allclose(store.scores(0)[0], S17)
    assert 'the third number a depth' in capsys.readouterr().out
    plain = [[np.concatenate([P17[i], P17[i][:, :1] - 150], 1).tolist()] for i in range(T)]
    with pytest.raises(UserError, match='third number of a joint lies in .* choose with --third'):
        load(tmp_path, {'v.json': plain})
    store = load(tmp_path, {'v.json': plain}, third='drop')
    assert store.channels == 2 and store.head['third'] == 'none' and not store.has_scores
    assert load(tmp_path, {'v.json': plain}, third='depth', layout='coco17').channels == 3


def test_groups_of_a_whole_body(tmp_path):
    points, scores = body(133)
    files = {'v.json': [[dict(keypoints=p.tolist(), keypoint_scores=s.tolist())] for p, s in zip(points, scores,
                                                                                                strict=True)]}
    store = load(tmp_path, files, joints='body')
    assert store.layout.name == 'coco17' and np.allclose(store.keypoints(0)[0], points[:, :17])
    assert load(tmp_path, files, layout='coco17').layout.name == 'coco17'
    hands = load(tmp_path, files, joints='hands')
    assert hands.layout.name == 'hand21' and np.allclose(hands.keypoints(0), np.stack([points[:, 91:112],
                                                                                      points[:, 112:]]))
    assert np.allclose(hands.scores(0), np.stack([scores[:, 91:112], scores[:, 112:]]))


def test_files_with_and_without_scores(tmp_path):
    bare = [[dict(keypoints=p.tolist())] for p in P17]
    store = load(tmp_path, {'a.json': [[found] for found in MMPOSE], 'b.json': bare})
    assert np.allclose(store.scores(0)[0], S17) and (store.scores(1) == 1).all()
    assert notes(store) == {'b': 'no scores: joints away from the origin get 1'}
    store = load(tmp_path / 'n', {'a.json': bare, 'b.json': [[found] for found in MMPOSE]})
    assert np.allclose(store.scores(1)[0], S17)
    assert notes(store) == {'a': 'no scores: joints away from the origin get 1'}
    flat = [[dict(keypoints=np.hstack([p, s[:, None]]).tolist())] for p, s in zip(P17, S17, strict=True)]
    store = load(tmp_path / 'third', {'a.json': bare, 'b.json': flat})
    assert np.allclose(store.scores(1)[0], S17) and np.allclose(store.keypoints(1), store.keypoints(0))
    many = {f'a{chr(97 + i % 26)}{chr(97 + i // 26)}.json': bare for i in range(60)}
    store = load(tmp_path / 'many', many | {'abx.json': [[found] for found in MMPOSE]})  # is not among those looked at
    assert not store.has_scores and notes(store) == {'abx': 'its scores are dropped, because aaa.json has none'}


def test_what_is_not_known_is_described(tmp_path):
    with pytest.raises(UserError, match=r'a list of 1, with a dict with the keys people: not a known format; the '
                                        r'most similar: OpenPose \(people\)'):
        load(tmp_path, {'v.json': [dict(people={})]})
    with pytest.raises(UserError, match='no files that end in .json'):
        load(tmp_path / 'none', {'v.xml': ''})


def test_other_layouts_and_units_in_one_folder_are_not_mixed(tmp_path):
    store = load(tmp_path, {'a.json': [[found] for found in MMPOSE], 'b.json': alphapose(26),
                            'c.json': [[dict(keypoints=(P17[i] / 1000).tolist())] for i in range(T)]})
    assert store.ids == ['a'] and 'halpe26, but that of a.json is coco17' in notes(store, 'skipped')['b']
    assert 'its units are relative, but those of a.json are px' in notes(store, 'skipped')['c']


# --- one file per picture, and frames by number ----------------------------------------------------------------------

@pytest.mark.parametrize('naming', ['IMG ({}).json', '{:04d}_cam0.json', 'v.mp4_{:04d}.json', 'f[{}].json'])
def test_pictures_of_other_namings(tmp_path, naming):
    store = load(tmp_path, {naming.format(i): OPENPOSE[i] for i in range(T) if i != 3})
    assert store.frames.tolist() == [T] and not store.keypoints(0)[0, 3].any()
    np.testing.assert_allclose(store.keypoints(0)[0, 4], P25[4], rtol=1e-5)


def test_pictures_without_a_number_are_asked_about(tmp_path):
    files = {f'{letter}.json': OPENPOSE[i] for i, letter in enumerate('abcdef')}
    with pytest.raises(UserError, match='an OpenPose picture, and no other file .* --files pictures joins the files'):
        load(tmp_path / 'x', files)
    store = load(tmp_path / 'p', files, files='pictures')
    np.testing.assert_allclose(store.keypoints(0), P25[None], rtol=1e-5)
    assert load(tmp_path / 'c', files, files='clips').frames.tolist() == [1] * T


def test_frames_under_their_numbers(tmp_path):
    frames = {f'frame_{i}': [MMPOSE[i]] for i in (0, 10, 11, 2, 1) if i < T} | {'frame_4': [MMPOSE[4]]}
    store = load(tmp_path, {'v.json': frames})
    assert store.keypoints(0)[0].any((1, 2)).tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(store.keypoints(0)[0, 2], P17[2], rtol=1e-5)
    tracks = {'1': [MMPOSE[i % T] for i in range(12)], '2': [MMPOSE[i % T] for i in range(12)]}
    with pytest.raises(UserError, match='not a known format'):
        load(tmp_path / 'x', {'v.json': tracks})  # persons by identity are not frames


def test_posenet(tmp_path):
    frames = [[dict(score=.9, keypoints=[dict(score=.9, part=name, position=dict(x=x, y=y)) for name, (x, y) in zip(
        get_layout('coco17').joints, P17[i].tolist(), strict=True)])] for i in range(T)]
    np.testing.assert_allclose(load(tmp_path, {'v.json': frames}).keypoints(0), P17[None], rtol=1e-5)


def test_only_categories_with_annotations_count(tmp_path):
    names = list(get_layout('coco17').joints)
    content = dict(images=[dict(id=i, file_name=f'{i}.jpg') for i in range(T)], annotations=[dict(
        image_id=i, category_id=1, keypoints=flat(P17[i], S17[i])) for i in range(T)], categories=[
            dict(id=1, keypoints=names), dict(id=2, keypoints=['snout', 'tail'])])
    assert load(tmp_path, {'v.json': content}).layout.name == 'coco17'
    content['annotations'].append(dict(image_id=0, category_id=2, keypoints=[1, 2, 2, 3, 4, 2]))
    with pytest.raises(UserError, match='keep the annotations of one category'):
        load(tmp_path / 'x', {'v.json': content})


# --- MediaPipe: the same landmarks in every form ---------------------------------------------------------------------

P33, S33 = body(33, 3, size=1., at=-1.2)
UP = (-1, -1, 1)


@pytest.mark.parametrize('columns', ['{name}_{axis}', '{axis}{number}', 'landmark_{number}_{axis}'])
def test_tables_of_mediapipe_are_turned_as_its_json_is(tmp_path, columns):
    joints = list(enumerate(get_layout('mediapipe33').joints))
    rows = [','.join(columns.format(name=name, number=i, axis=axis) for i, name in joints for axis in 'xyzv')]
    rows += [','.join(str(v) for i, _ in joints for v in (*P33[t, i], S33[t, i])) for t in range(T)]
    store = load(tmp_path, {'v.csv': '\n'.join(rows)})
    assert store.layout.name == 'mediapipe33' and store.index['units'] == 'm'
    np.testing.assert_allclose(store.keypoints(0)[0], P33 * UP, rtol=1e-5)


def test_landmarks_of_many_persons_in_one_frame_are_asked_about(tmp_path):
    content = {'v.json': dict(landmarks=P33.tolist())}
    with pytest.raises(UserError, match='6 persons: is it one picture .* --files to pictures or clips'):
        load(tmp_path, content)
    np.testing.assert_allclose(load(tmp_path, content, files='clips').keypoints(0)[0], P33 * UP, rtol=1e-5)


def test_hands_of_a_holistic_result_are_counted(tmp_path):
    landmarks = [[dict(zip('xyz', row, strict=True)) for row in P33[i].tolist()] for i in range(T)]
    frames = [dict(pose_landmarks=landmarks[i], left_hand_landmarks=landmarks[i][:21], face_landmarks=None)
              for i in range(T)]
    assert '6 landmarks of a hand or a face dropped' in notes(load(tmp_path, {'v.json': frames}))['v']


# --- nested lists ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('scores', ['scores', 'keypoint_scores', None])
def test_keypoints_of_all_frames_in_one_dict(tmp_path, scores):
    content = dict(keypoints=P17.tolist(), fps=30) | ({scores: S17.tolist()} if scores else {})
    np.testing.assert_allclose(load(tmp_path, {'v.json': content}).keypoints(0), P17[None], rtol=1e-5)
    if scores:
        with pytest.raises(UserError, match='6 frames, but scores of 5'):
            load(tmp_path / 'x', {'v.json': content | {scores: S17.tolist()[1:]}})


def test_persons_of_frames_are_no_frames_of_persons(tmp_path):
    both = np.stack([P17, P17 + 300])
    with pytest.raises(UserError, match='nested lists of 2 frames, with up to 6 persons: .* --axes MTVC'):
        load(tmp_path / 'x', {'v.json': both.tolist()})
    store = load(tmp_path, {'v.json': both.swapaxes(0, 1).tolist()})
    assert store.index['samples'][0]['persons'] == 2 and store.frames.tolist() == [T]


def test_tables_without_names_list_the_layouts_that_fit(tmp_path):
    with pytest.raises(UserError, match=r'66 columns without a header: give --layout \(.*shrec22'):
        load(tmp_path, {'v.txt': '\n'.join(' '.join(['0.5'] * 66) for _ in range(T))})


# --- one bad value does not lose a clip ------------------------------------------------------------------------------

@pytest.mark.parametrize('bad, said', [
    ([None], None), ([dict(keypoints=P17[0][:16].tolist())], '1 persons of 16 joints dropped'),
    ([dict(keypoints=[[1], *P17[0][1:].tolist()])], '1 persons that cannot be read: not numbers, or rows of different'),
    ([dict(keypoints=P17[0].tolist(), keypoint_scores=[1] * 16)], '1 persons that cannot be read: 16 scores for 17')])
def test_one_person_that_cannot_be_read(tmp_path, bad, said):
    frames = [[found] for found in MMPOSE]
    frames[2] = bad
    store = load(tmp_path / 'a', {'v.json': frames})
    assert store.frames.tolist() == [T] and not store.keypoints(0)[0, 2].any()
    np.testing.assert_allclose(store.keypoints(0)[0, 3:], P17[3:], rtol=1e-5)
    assert said is None or said in notes(store)['v']
    if said and '16 joints' not in said:
        with pytest.raises(UserError, match=said[2:40]):
            load(tmp_path / 'x', {'v.json': [bad] * T})


def test_a_landmark_list_that_is_cut_short(tmp_path):
    frames = [[[dict(zip('xyz', row, strict=True)) for row in points]] for points in P33.tolist()]
    frames[1] = [frames[1][0][:20]]
    store = load(tmp_path, {'v.json': frames})
    assert not store.keypoints(0)[0, 1].any() and '1 persons that cannot be read: a person with 20' in notes(store)['v']


def test_a_folder_of_flat_and_deep_files(tmp_path):
    """If files with three numbers follow one with two, scores are recognised and depths are not lost silently."""
    flat_file = [[dict(keypoints=points.tolist())] for points in P17]
    scored = [[dict(keypoints=np.concatenate([P17[i], np.where(np.arange(17) == 5, 0, S17[i])[:, None]], 1).tolist())]
              for i in range(T)]
    deep = [[dict(keypoints=points.tolist(), keypoint_scores=[.9] * 17)] for points in body(17, 3, size=1., at=-.5)[0]]
    store = load(tmp_path, {'a.json': flat_file, 'b.json': scored, 'c.json': deep})
    assert store.ids == ['a', 'b'] and '--third drop' in notes(store, 'skipped')['c']
    assert not store.keypoints(1)[:, :, 5].any() and store.keypoints(1)[:, :, 4].any()
    assert load(tmp_path / 'd', {'a.json': flat_file, 'c.json': deep}, third='drop').ids == ['a', 'c']


@pytest.mark.parametrize('write_number', [str, float])
def test_numbers_of_frames_as_text_or_floats(tmp_path, write_number):
    frames = [dict(frame_id=write_number(i), instances=[MMPOSE[i]]) for i in range(T)][::-1]
    np.testing.assert_allclose(load(tmp_path, {'v.json': frames}).keypoints(0), P17[None], rtol=1e-5)
