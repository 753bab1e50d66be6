"""Random damage for every pose reader and tables: valid clips, or a ValueError of one line."""
import json
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmskelssl.datasets.importers.pose.contract import Options
from mmskelssl.datasets.importers.pose.recognise import recognise

MARKS = [dict(x=.1, y=.2, z=.3, visibility=.9)] * 33
PERSON = dict(keypoints=[[1.5, 2.5]] * 17, keypoint_scores=[.5] * 17)
SEEDS = {
    'openpose': dict(version=1.3, people=[dict(person_id=[-1], pose_keypoints_2d=[1.5, 2.5, .5] * 25)]),
    'controlnet': [dict(canvas_width=9, people=[dict(pose_keypoints_2d=[1.5, 2.5, .5] * 18)])] * 2,
    'kinetics': dict(data=[dict(frame_index=1, skeleton=[dict(pose=[.5] * 36, score=[.5] * 18)])], label='a'),
    'coco': dict(images=[dict(id=1, file_name='a/1.jpg')], categories=[dict(id=1, keypoints=['nose', 'neck'])],
                 annotations=[dict(image_id=1, track_id=1, keypoints=[1, 2, 2] * 17)]),
    'alphapose': [dict(image_id='1.jpg', idx=1, box=[], keypoints=[1.5, 2.5, .5] * 26)] * 2,
    'poseflow': {'1.jpg': [dict(keypoints=[1.5, 2.5, .5] * 17)], '2.jpg': None},
    'mmpose': dict(meta_info=dict(keypoint_id2name={'0': 'nose'}),
                   instance_info=[dict(frame_id=1, instances=[PERSON])]),
    'ultralytics': [[dict(keypoints=dict(x=[1.5] * 17, y=[2.5] * 17, visible=[.5] * 17))], []],
    'vitpose': dict(keypoints=[{'0': [[1.5, 2.5, .5]] * 17}], skeleton={'0': 'nose'}),
    'plain': [[[[1.5, 2.5, .5]] * 17], []],
    'movenet': [[[[[.5, .25, .5]] * 17]], []],
    'mediapipe': [dict(pose_world_landmarks=[MARKS]), dict(landmark=MARKS), None],
    'by name': [{'NOSE': MARKS[0], **{f'j{i}': MARKS[0] for i in range(32)}}],
    'tfjs': dict(frames=[dict(frameNum=0, keypoints=[dict(MARKS[0], name=f'j{i}', score=.5) for i in range(33)])]),
    'panoptic': dict(univTime=1, bodies=[dict(id=1, joints19=[1., 2., 3., .5] * 19)]),
    'azure': dict(frames=[dict(frame_id=0, bodies=[dict(body_id=1, joint_positions=[[1., 2., 3.]] * 32)])]),
    'smarthome': dict(njts=13, frames=[[dict(pose3d=[1.5] * 39)]])}
TEXTS = {'yolo.txt': '0 .5 .5 .1 .1 ' + ' '.join(['.5 .5 .9'] * 17) + '\n0 .5 .5 .1 .1 ' + ' '.join(['.5 .5 1'] * 17),
         'wide.csv': 'frame,nose_x,nose_y,nose_score\n1,1.5,2.5,.5\n2,,,\n', 'plain.csv': '1,2,3,4\n5,6,7,8\n',
         'long.tsv': 'frame\tjoint\tx\ty\n1\tnose\t1,5\t2,5\n1\thand\t1,5\t2,5\n2\tnose\t1\t2\n'}
WORDS = ['', 'null', 'NaN', '1e999', '-1', '[]', '{}', '"x"', '9' * 400, '[[1,2,3]]', 'true', '{"keypoints": null}']
VALUES = [None, True, 0, -1, 1.5, 'x', '', [], {}, [None], [1, 2, 3], {'x': 1}, [[1]], 10**20, float('nan'), [{}],
          {'keypoints': [1] * 51}]
QUICK = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def is_sound(name, data, options=Options()):
    """Return whether there are clips, and check them against the contract."""
    try:
        found = recognise(name, data, options)
    except ValueError as error:
        assert str(error) and len(str(error)) < 2000
        return False
    for clip in found.clips:
        for person in (one for frame in clip.frames for one in frame):
            assert person.points.ndim == 2 and 2 <= person.points.shape[1] <= 4 and len(person.points)
            finite = person.points[np.isfinite(person.points)]
            assert not finite.size or np.abs(finite).max() < 1e12
            assert person.scores is None or np.isfinite(person.scores).all()
            assert person.scores is None or len(person.scores) == len(person.points)
    return True


@pytest.mark.parametrize('name', [*SEEDS, *TEXTS])
def test_the_seeds_are_sound(name):
    text = TEXTS.get(name) or json.dumps(SEEDS[name])
    assert is_sound(name if name in TEXTS else 'v.json', text.encode(), Options(joints=2 if name == 'plain.csv' else 0))


@pytest.mark.parametrize('name', [*SEEDS, *TEXTS])
@QUICK
@given(st.data())
def test_damaged_text(name, data):
    text = TEXTS.get(name) or json.dumps(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 60))
        text = text[:start] + data.draw(st.sampled_from(WORDS)) + text[start + length:]
    is_sound(name if name in TEXTS else 'v.json', text.encode())


def parts(content, path=()):
    """Paths of all parts of a JSON value."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in list(items)[:6]:
        yield from parts(part, (*path, key))


@pytest.mark.parametrize('name', SEEDS)
@QUICK
@given(st.data())
def test_damaged_structure(name, data):
    """Replace a part with another kind of value. The text remains JSON, so it reaches the readers."""
    content = json.loads(json.dumps(SEEDS[name]))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(parts(content))))
        value = deepcopy(data.draw(st.sampled_from(VALUES)))
        if not path:
            content = value
            continue
        owner = content
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = value
    options = Options(files=data.draw(st.sampled_from(['auto', 'clips', 'pictures'])),
                      landmarks=data.draw(st.sampled_from([None, 'world', 'image'])))
    is_sound('v.json', json.dumps(content).encode(), options)
