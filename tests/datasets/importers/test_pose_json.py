"""JSON of pose estimators in the format of each program, and random damage."""
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

RNG = np.random.default_rng(0)
COCO = np.concatenate([RNG.uniform(50, 400, (6, 17, 2)).round(2) * .1 + np.linspace(100, 300, 17)[:, None],
                       RNG.uniform(.2, 1, (6, 17, 1)).round(3)], -1)
BODY25 = np.concatenate([RNG.uniform(100, 130, (6, 25, 2)).round(2), RNG.uniform(.2, 1, (6, 25, 1)).round(3)], -1)
MEDIA = RNG.normal(size=(6, 33, 4)).round(4) * .05 + RNG.normal(size=(33, 4)).round(3)


def load(path, out, layout, **options):
    with StoreWriter(out) as writer:
        IMPORTERS['pose_json'](str(path), writer, layout=layout, **options)
    store = SkeletonStore(out)
    return store, {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


def scored(store, i=0):
    """(M, T, V, C + 1): coordinates and the score of each joint."""
    return np.concatenate([store.keypoints(i), store.scores(i)[..., None]], -1)


def one_file(tmp_path, data, name='clip.json'):
    raw = tmp_path / 'raw'
    raw.mkdir(exist_ok=True, parents=True)
    (raw / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return raw


# --- COCO ------------------------------------------------------------------------------------------------------------

def lists(clip=COCO):
    return clip.tolist()


COCO_FORMS = dict(
    persons=[[person] for person in lists()],
    alone=lists(), flat=[[np.ravel(person).tolist()] for person in lists()],
    flat_alone=[np.ravel(person).tolist() for person in lists()],
    keypoints=[[dict(keypoints=np.ravel(person).tolist(), score=.9)] for person in lists()],
    keypoints_alone=[dict(keypoints=person) for person in lists()],
    frames=dict(frames=[dict(people=[dict(keypoints=person)]) for person in lists()]),
    mmpose=dict(meta_info={}, instance_info=[dict(frame_id=i + 1, instances=[
        dict(keypoints=COCO[i, :, :2].tolist(), keypoint_scores=COCO[i, :, 2].tolist())]) for i in range(6)]),
    ultralytics=[[dict(name='person', keypoints=dict(x=p[:, 0].tolist(), y=p[:, 1].tolist(), visible=p[:, 2].tolist()))]
                 for p in COCO],
    results=[dict(image_id=100 + i, category_id=1, keypoints=np.ravel(COCO[i]).tolist(), score=1.)
             for i in (3, 0, 5, 1, 4, 2)],
    alphapose=[dict(image_id=f'{i}.jpg', keypoints=np.ravel(COCO[i]).tolist()) for i in range(6)],
    annotations=dict(images=[dict(id=77 - i, file_name=f'frame{i + 7}.png') for i in range(6)], annotations=[
        dict(id=i, image_id=77 - i, keypoints=np.ravel(COCO[i]).tolist()) for i in range(6)]))


@pytest.mark.parametrize('form', COCO_FORMS)
def test_every_form_of_coco(tmp_path, form):
    files = 'clips' if form == 'keypoints_alone' else 'auto'  # otherwise it is one picture of six persons
    store, skipped = load(one_file(tmp_path, COCO_FORMS[form]), tmp_path / 's', 'coco17', files=files)
    assert not skipped and store.index['units'] == 'px' and store.channels == 2
    np.testing.assert_allclose(scored(store), COCO[None], rtol=1e-6)


def test_frames_without_anybody_and_second_persons(tmp_path):
    other = COCO + (500, 0, 0)
    frames = [[COCO[0].tolist(), other[0].tolist()], [], None, [other[3].tolist()], dict(people=[]),
              [other[5].tolist(), COCO[5].tolist()]]
    store, _ = load(one_file(tmp_path, frames), tmp_path / 's', 'coco17')
    got = scored(store)
    assert got.shape == (2, 6, 17, 3) and not got[:, [1, 2, 4]].any()
    np.testing.assert_allclose(got[0, [0, 3, 5]], other[[0, 3, 5]], rtol=1e-6)  # most often visible
    np.testing.assert_allclose(got[1, [0, 5]], COCO[[0, 5]], rtol=1e-6)
    results = [dict(image_id=i, keypoints=np.ravel(COCO[i]).tolist()) for i in (0, 1, 4)]  # 2 and 3: nobody
    store, _ = load(one_file(tmp_path, results), tmp_path / 't', 'coco17', persons=1)
    assert store.keypoints(0)[0].any((1, 2)).tolist() == [True, True, False, False, True]


def test_a_joint_without_a_score_is_zero(tmp_path):
    clip = COCO.copy()
    clip[2, 5, 2] = 0
    store, _ = load(one_file(tmp_path, lists(clip)), tmp_path / 's', 'coco17')
    assert not store.keypoints(0)[0, 2, 5].any() and store.keypoints(0)[0, 2, 6].all()


@pytest.mark.parametrize('data, reason', [
    ('', 'shows a person'), ('{"frames": [', 'not valid JSON'), ('\0\1', 'not text'),
    ('[' * 100000, 'nested too deeply'), ('[]', 'shows a person'), ('{}', 'shows a person'),
    ('7', "int '7': not a known format"),
    ('[[], null]', 'shows a person'), ('[[[1, 2, 3, 4]]]', 'persons? of|4 joints|4 numbers|1 joints'),
    ('[["a"]]', "such as 'a': not a known format"), ('["abc"]', "such as 'abc': not a known format"),
    ('[[{"keypoints": [[1, 2], [3]]}]]', 'not numbers'), ('[{"people": {"a": 1}}]', 'most similar: OpenPose'),
    (json.dumps([[np.full(51, np.nan).tolist()]]), 'shows a person'), (json.dumps([[[1e300] * 51]]), 'shows a person'),
    (json.dumps([[[10**400] * 51]]), 'not numbers|beyond'), (json.dumps([[[0] * 51]]), 'shows a person'),
    (json.dumps([dict(image_id='x', keypoints=[1] * 51)]), 'does not contain a frame number'),
    (json.dumps([dict(image_id=i * 10**9, keypoints=[1] * 51) for i in range(2)]), 'too far apart'),
    (json.dumps([dict(image_id=1, keypoints=[1] * 51), dict(keypoints=[1] * 51)]), 'without an image_id'),
    (json.dumps(dict(images=[dict(id=1)], annotations=[dict(image_id=2, keypoints=[1] * 51)])), 'not in the list'),
    (json.dumps([[dict(keypoints=dict(x=[1] * 17, y=[1] * 16))]]), 'not numbers'),
])
def test_bad_coco_is_skipped_with_a_reason(tmp_path, data, reason):
    one_file(tmp_path, COCO_FORMS['persons'], 'good.json')
    store, skipped = load(one_file(tmp_path, data), tmp_path / 's', 'coco17')
    found, = skipped.values()
    assert store.ids == ['good'] and set(skipped) <= {'clip.json', 'clip'}
    with pytest.raises(ValueError, match=reason):
        raise ValueError(found)
    assert '\n' not in found and len(found) < 300


# --- OpenPose --------------------------------------------------------------------------------------------------------

def write_openpose(folder, clip, prefix='video', first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i, person in enumerate(clip):
        people = [dict(person_id=[-1], pose_keypoints_2d=np.ravel(person).tolist(), face_keypoints_2d=[])]
        name = f'{prefix}_{first + i:012d}_keypoints.json' if prefix else f'{first + i}_keypoints.json'
        (folder / name).write_text(json.dumps(dict(version=1.3, people=people)))


def test_openpose_a_folder_or_a_prefix_a_clip(tmp_path):
    raw = tmp_path / 'raw'
    write_openpose(raw / 'walk' / 'clip.v1', BODY25)
    write_openpose(raw / 'run' / 'two', BODY25[:3], 'a')
    write_openpose(raw / 'run' / 'two', BODY25[3:], 'b')
    write_openpose(raw / 'run' / 'numbers', np.tile(BODY25, (2, 1, 1)), '')  # 10 and 11 come after 9
    (raw / 'run' / 'other.json').write_text('{}')
    store, skipped = load(raw, tmp_path / 's', 'openpose25', labels='folders')
    assert list(skipped) == ['other'] and dict(zip(store.ids, store.labels.tolist(), strict=True)) == {
        'numbers': 0, 'a': 1, 'b': 1, 'clip.v1': 2}
    assert store.classes == ['run', 'two', 'walk']
    for name, clip in (('clip.v1', BODY25), ('a', BODY25[:3]), ('b', BODY25[3:]),
                       ('numbers', np.tile(BODY25, (2, 1, 1)))):
        np.testing.assert_allclose(scored(store, store.positions[name])[0], clip, rtol=1e-6)


def test_bad_openpose(tmp_path):
    raw = tmp_path / 'raw'
    for name in ('good', 'eighteen', 'cut', 'nobody'):
        write_openpose(raw / name, BODY25[:3])
    (raw / 'eighteen' / 'video_000000000001_keypoints.json').write_text(
        json.dumps(dict(people=[dict(pose_keypoints_2d=[1.] * 54)])))
    (raw / 'cut' / 'video_000000000002_keypoints.json').write_text('{"people": [')
    for file in (raw / 'nobody').iterdir():
        file.write_text('{"people": []}')
    (raw / 'nobody' / 'video_000000000001_keypoints.json').unlink()
    store, skipped = load(raw, tmp_path / 's', 'openpose25')
    skipped = {name.removesuffix('/video_000000000000_keypoints.json'): reason for name, reason in skipped.items()}
    assert store.ids == ['cut', 'good'] and set(skipped) == {'nobody', 'eighteen'}
    assert 'shows a person' in skipped['nobody']
    assert skipped['eighteen'] == 'persons of 18 and 25 joints in one clip'
    assert not store.keypoints(0)[:, 2].any() and store.index['provenance']['noted'] == [dict(
        id='cut', reason='1 unreadable files, imported as frames without persons')]
    _, skipped = load(raw, tmp_path / 'strict', 'openpose25', max_gap=0)
    assert 'video_000000000002_keypoints.json: not valid JSON' in skipped['cut/video_000000000000_keypoints.json']
    with pytest.raises(UserError, match='shows a person'):
        load(one_file(tmp_path / 'raw' / 'other', {}), tmp_path / 't', 'openpose25')


# --- MediaPipe -------------------------------------------------------------------------------------------------------

def marks(person):
    return [dict(x=p[0], y=p[1], z=p[2], visibility=p[3]) for p in person.tolist()]


MEDIA_FORMS = dict(
    lists=MEDIA.tolist(), lists_of_three=MEDIA[..., :3].tolist(), dicts=[marks(person) for person in MEDIA],
    many=[[marks(person)] for person in MEDIA], many_lists=[[person.tolist()] for person in MEDIA],
    named=dict(frames=[dict(pose_world_landmarks=marks(person), pose_landmarks=[]) for person in MEDIA]),
    javascript=[dict(worldLandmarks=[marks(person)], landmarks=[]) for person in MEDIA],
    protobuf=[dict(landmark=marks(person)) for person in MEDIA],
    inner=[dict(poseWorldLandmarks=dict(landmark=marks(person))) for person in MEDIA])


@pytest.mark.parametrize('form', MEDIA_FORMS)
def test_every_form_of_mediapipe(tmp_path, form):
    store, skipped = load(one_file(tmp_path, MEDIA_FORMS[form]), tmp_path / 's', 'mediapipe33')
    assert not skipped and store.index['units'] == 'm'
    np.testing.assert_allclose(store.keypoints(0)[0], MEDIA[..., :3] * (-1, -1, 1), rtol=1e-5, atol=1e-7)


def test_mediapipes_image_landmarks_and_empty_frames(tmp_path):
    frames = [dict(pose_landmarks=marks(MEDIA[0]), pose_world_landmarks=None), None, {}, [],
              dict(pose_landmarks=None),
              dict(landmarks=[marks(MEDIA[1]), marks(MEDIA[0] * (1, 1, 1, 0) + (5, 5, 5, .1))])]
    store, _ = load(one_file(tmp_path, frames), tmp_path / 's', 'mediapipe33', landmarks='image')
    assert store.keypoints(0).any((2, 3)).tolist() == [[True, *[False] * 4, True], [*[False] * 5, True]]
    assert store.index['units'] == 'image'
    plain, _ = load(tmp_path / 'raw', tmp_path / 't', 'mediapipe33')  # there are no world landmarks to prefer
    assert plain.index['units'] == 'image' and plain.index['sha256'] == store.index['sha256']
    frames[0]['pose_world_landmarks'] = marks(MEDIA[0])
    (tmp_path / 'raw').rename(tmp_path / 'old')
    with pytest.raises(UserError, match=r'frame 4 has no world landmarks \(pose_world_landmarks'):
        load(one_file(tmp_path, frames), tmp_path / 'u', 'mediapipe33')


@pytest.mark.parametrize('data, reason', [
    ([[1, 2, 3]] * 3, '3 numbers for a person'), ([marks(MEDIA[0])[:20]], 'a person with 20 landmarks'),
    ([[[1, 2]] * 33], 'need x, y and z'), ([[dict(x=1, y=2)] * 33], 'need x, y and z'),
    ([['a'] * 33], 'not a known format'), ([7], 'not a known format'),
    ([[[[1, 2, 3]] * 32]], '32 joints, but the layout mediapipe33 has 33'),
    ([[dict(x='a', y=2, z=3)] * 33], 'not numbers')])
def test_bad_mediapipe(tmp_path, data, reason):
    with pytest.raises(UserError, match=reason):
        load(one_file(tmp_path, data), tmp_path / 's', 'mediapipe33')


# --- all -------------------------------------------------------------------------------------------------------------

def test_labels_and_bad_options(tmp_path):
    for name in ('a.json', 'b.json'):
        raw = one_file(tmp_path, COCO_FORMS['alone'], name)
    (tmp_path / 'l.csv').write_text('name,label\nb.json,run\na,walk\n')
    store, skipped = load(raw, tmp_path / 's', 'coco17', labels=str(tmp_path / 'l.csv'))
    assert store.classes == ['run', 'walk'] and store.labels.tolist() == [1, 0] and not skipped
    assert store.splits == dict(train=['a', 'b'])
    store, _ = load(raw, tmp_path / 'u', 'coco17', labels=str(tmp_path / 'l.csv'), test_share=.6)
    assert store.splits == dict(test=['a', 'b'])
    with pytest.raises(UserError, match='--test-share 1'):
        load(raw, tmp_path / 't', 'coco17', test_share=1)


@pytest.mark.parametrize('name', ['coco17', 'openpose25', 'mediapipe33'])
def test_layouts_pair_and_part_what_the_names_say(name):
    layout = get_layout(name)
    assert {(layout.joints[a], layout.joints[b]) for a, b in layout.pairs} == {
        (joint, joint.replace('left', 'right')) for joint in layout.joints if 'left' in joint}
    for side in ('left', 'right'):
        for part in ('arm', 'leg'):
            assert all(side in layout.joints[j] for j in layout.parts[f'{side}_{part}'])
        assert f'{side}_shoulder' in [layout.joints[j] for j in layout.shoulders]
    for child, parent in layout.bones:  # mirrored bones are also bones
        assert layout.mirror[parent] == layout.parents[layout.mirror[child]]
    assert layout.joints[layout.shoulders[0]] == 'left_shoulder'


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(
                        ['people', 'keypoints', 'image_id', 'frames', 'x', 'y', 'z', 'landmark', 'annotations',
                         'images', 'pose_world_landmarks', 'pose_keypoints_2d', 'instance_info', 'id']), inner,
                        max_size=4), max_leaves=25)


@st.composite
def damaged(draw):
    """A good file with a span cut out or replaced, any JSON, or any text."""
    form = draw(st.sampled_from([*COCO_FORMS.values(), *MEDIA_FORMS.values()]))
    text = json.dumps(form)
    start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 200))
    word = draw(st.sampled_from(['', 'null', 'NaN', '1e999', '[]', '{}', '"x"', '-1']))
    cut = text[:start] + word + text[start + length:]
    return draw(st.sampled_from([cut, json.dumps(draw(JSON)), draw(st.text(max_size=50))]))


@settings(max_examples=200, deadline=None)
@given(text=damaged(), layout=st.sampled_from(['coco17', 'mediapipe33', 'openpose25']))
def test_any_json_is_imported_or_skipped(tmp_path_factory, text, layout):
    raw = tmp_path_factory.mktemp('fuzz') / 'raw'
    raw.mkdir()
    (raw / 'x_0_keypoints.json').write_text(text, encoding='utf-8', errors='replace')
    try:
        store, skipped = load(raw, raw.parent / 's', layout)
    except UserError as error:
        assert 'no sample could be imported' in str(error) and '\n' not in str(error)
        return
    assert len(store) == 1 and not skipped
