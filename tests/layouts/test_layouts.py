"""The built-in layouts: each file is a valid skeleton, and old ones match existing stores and checkpoints."""
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.config import layout_config
from mmskelssl.errors import UserError
from mmskelssl.layouts import ALIASES, CANONICAL, LAYOUTS, SkeletonLayout, get_layout, read_layout
from tests.conftest import random_clip

FOLDER = Path(__file__).parents[2] / 'mmskelssl/layouts'
STICK = dict(name='stick', joints=['hip', 'left_hand', 'right_hand'], parents=[-1, 0, 0], hip=0, shoulders=[1, 2],
             pairs=[[1, 2]], parts={'all': [0, 1, 2]})
# Hash of the fields of each layout that stores and checkpoints before the data files may hold.
BEFORE = dict(ntu25='3e060593cb61', kinect20='db814bb47b0e', sbu15='f6f5f7e430d2', cmu31='0975997496a8',
              coco17='3aeb47e04a16', openpose25='d4869f8a53d0', mediapipe33='fea201ccf1ed')


def other_side(name: str) -> str:
    return ''.join({'left': 'right', 'right': 'left'}.get(part, part)
                   for part in name.replace('left', '|left|').replace('right', '|right|').split('|'))


@pytest.mark.parametrize('name', sorted(LAYOUTS))
def test_each_file_is_a_sound_skeleton(name):
    fields = json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8'))
    assert set(fields) == {'about', 'name', 'joints', 'canonical', 'parents', 'hip', 'shoulders', 'pairs', 'parts'}
    assert fields['name'] == name and fields['about'].endswith('.') and fields['parents'].count(-1) == 1
    layout = LAYOUTS[name]
    assert str(layout.num_joints) in name and len(set(layout.joints)) == layout.num_joints
    assert layout.parts and list(layout.parts['trunk'] if 'trunk' in layout.parts else ()) == fields['parts'].get(
        'trunk', [])
    for child, parent in layout.bones:  # mirrored bones are bones
        assert layout.mirror[parent] == layout.parents[layout.mirror[child]]
    flipped = [joint for pair in layout.pairs for joint in pair]
    assert len(flipped) == len(set(flipped))
    left = [joint for joint in layout.joints if 'left' in joint]
    if left:
        paired = {(layout.joints[a], layout.joints[b]) for a, b in layout.pairs}
        assert {(joint, other_side(joint)) for joint in left} == {pair for pair in paired if 'left' in pair[0]}
        assert layout.joints[layout.shoulders[0]] == 'left_shoulder'
        assert layout.joints[layout.shoulders[1]] == 'right_shoulder'
    for part, joints in layout.parts.items():
        side = part.partition('_')[0]
        if side in ('left', 'right'):
            assert all(side in layout.joints[joint] for joint in joints)
    for joint, canonical in zip(layout.joints, layout.canonical, strict=True):
        assert canonical is None or canonical in CANONICAL
        if 'left' in joint or 'right' in joint:
            partner = layout.canonical[layout.joints.index(other_side(joint))]
            assert (canonical is None) == (partner is None)
            assert canonical is None or other_side(canonical) == partner and canonical[:4] in joint
    assert all(canonical == joint for joint, canonical in zip(layout.joints, layout.canonical, strict=True)
               if joint in CANONICAL)


def test_canonical_names_are_a_vocabulary():
    assert len(set(CANONICAL)) == len(CANONICAL)
    assert set(CANONICAL) == {name for layout in LAYOUTS.values() for name in layout.named}  # no unused names
    assert {other_side(name) for name in CANONICAL} == set(CANONICAL)


@pytest.mark.parametrize('layout, joint, name', [
    ('ntu25', 20, 'chest'), ('ntu25', 21, 'left_hand_tip'), ('kinect20', 2, 'chest'), ('coco18', 1, 'neck'),
    ('coco18', 2, 'right_shoulder'), ('coco18', 15, 'left_eye'), ('openpose25', 8, 'pelvis'),
    ('openpose25', 19, 'left_big_toe'), ('halpe26', 17, 'head_top'), ('halpe26', 19, 'pelvis'),
    ('halpe26', 24, 'left_heel'), ('halpe136', 26, 'face_0'), ('halpe136', 94, 'left_hand_root'),
    ('halpe136', 135, 'right_pinky_4'), ('coco_wholebody133', 22, 'right_heel'), ('coco_wholebody133', 23, 'face_0'),
    ('coco_wholebody133', 112, 'right_hand_root'), ('coco_wholebody133', 95, 'left_thumb_4'), ('hand21', 8, 'index_4'),
    ('mediapipe33', 31, 'left_big_toe'), ('h36m17', 1, 'right_hip'), ('h36m17', 10, 'head_top'),
    ('h36m17', 11, 'left_shoulder'), ('panoptic19', 2, 'pelvis'), ('panoptic19', 16, 'left_ear'),
    ('smpl22', 4, 'left_knee'), ('smpl24', 23, 'right_hand'), ('azure32', 3, 'neck'), ('azure32', 10, 'left_thumb_4'),
    ('azure32', 18, 'left_hip'), ('azure32', 31, 'right_ear'), ('florence15', 2, 'spine'),
    ('florence15', 9, 'left_hip'), ('posetrack17', 1, 'neck'), ('posetrack17', 2, 'head_top'),
    ('animal17', 4, 'tail_base'), ('animal17', 7, 'left_front_paw'), ('shrec22', 1, 'palm'), ('shrec22', 5, 'thumb_4'),
    ('smarthome13', 0, 'right_ankle'), ('smarthome13', 12, 'head'), ('bandai21', 2, 'upper_spine'),
    ('bandai21', 6, 'left_shoulder')])
def test_joints_stand_where_the_formats_put_them(layout, joint, name):
    assert get_layout(layout).canonical[joint] == name


@pytest.mark.parametrize('name', sorted(BEFORE))
def test_layouts_of_older_stores_and_checkpoints_are_unchanged(name):
    fields = {key: value for key, value in LAYOUTS[name].fields().items() if key != 'canonical'}
    assert hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12] == BEFORE[name]
    assert get_layout(json.loads(json.dumps(fields))) == LAYOUTS[name]  # as a checkpoint holds it, without canonical


def test_canonical_names_change_no_stored_layout(tmp_path):
    """A store with a custom skeleton keeps the index and hash that it had before canonical names existed."""
    layout, named = get_layout(STICK), get_layout(STICK | dict(canonical=['pelvis', None, 'right_hand']))
    assert layout.parents == (0, 0, 0) and layout == named == get_layout(STICK | dict(parents=[0, 0, 0]))
    assert layout.named == dict(left_hand=1, right_hand=2) and named.named == dict(pelvis=0, right_hand=2)
    for skeleton in (layout, named):
        path = tmp_path / str(bool(skeleton.canonical))
        with StoreWriter(path, skeleton) as writer:
            writer.add('a', random_clip(np.random.default_rng(0), layout, 1, 4))
        stored = SkeletonStore(path).head['layout']
        assert ('canonical' in stored) == bool(skeleton.canonical) and get_layout(stored).named == skeleton.named
    plain = dict(name='stick', joints=('hip', 'left_hand', 'right_hand'), parents=(0, 0, 0), hip=0, shoulders=(1, 2),
                 pairs=((1, 2),), parts={'all': (0, 1, 2)})
    assert layout_config(layout) == plain
    assert layout_config(named) == plain | dict(canonical=('pelvis', None, 'right_hand'))  # models use these names
    assert layout_config(get_layout('coco17')) == 'coco17'


@pytest.mark.parametrize('change, words', [
    (dict(parents=[-1, -1, 0]), 'exactly one joint must be its own parent'),
    (dict(parents=[-2, 0, 0]), 'a joint index is outside 0..2'),
    (dict(parents=[-1, 0, 0.]), 'must be integers'), (dict(joints=['hip', 1, 'c']), 'that is not text'),
    (dict(pairs=[[1, 2, 0]]), 'two joints each'), (dict(joints=['a'] * 1025), '1025 joints, expected at most 1024'),
    (dict(joints=[]), 'a layout has 0 joints'), (dict(parts=5), 'it needs name, joints'),
    (dict(canonical=['pelvis']), '3 joints but 1 canonical names'),
    (dict(canonical=['pelvis', 'left_hnad', None]), "'left_hnad' is not a canonical joint name"),
    (dict(canonical=['head', 'head', None]), "canonical name 'head' appears twice")])
def test_unsound_layouts_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        get_layout(STICK | change)


def test_names(tmp_path):
    assert get_layout('kinect25') is LAYOUTS['ntu25'] and set(ALIASES.values()) <= set(LAYOUTS)
    with pytest.raises(UserError, match=r"unknown layout 'coco71' \(did you mean coco1[78]\?\): choose one of anim"):
        get_layout('coco71')
    copy = tmp_path / 'copy.json'  # a built-in file can serve as a template
    copy.write_text((FOLDER / 'coco17.json').read_text(), encoding='utf-8')
    assert read_layout(str(copy)) == LAYOUTS['coco17'] and isinstance(LAYOUTS['coco17'], SkeletonLayout)


def test_looking_a_layout_up_imports_nothing_heavy_and_reads_one_file():
    code = ('import sys; from mmskelssl.layouts import LAYOUTS, get_layout; get_layout("coco17"); '
            'print(sorted({"torch", "numpy", "mmengine"} & set(sys.modules)), [*LAYOUTS._made])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['coco17']"
