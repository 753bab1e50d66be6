"""Conversion of clips between layouts: exact joints, rules, ends, refusals and missing joints."""
import numpy as np
import pytest

from mmskelssl.errors import UserError
from mmskelssl.layouts import CANONICAL, LAYOUTS, convert_layout, get_layout
from mmskelssl.layouts.canonical import PARENTS
from mmskelssl.layouts.convert import ENDS, RULES, conversion, targets_of
from mmskelssl.layouts.union import into_union, joint_mask, union_layout
from tests.conftest import random_clip

NTU, COCO = get_layout('ntu25'), get_layout('coco17')


def clip_of(name: str, channels: int = 3) -> np.ndarray:
    return random_clip(np.random.default_rng(3), get_layout(name), 2, 4)[..., :channels] + np.float32(5)


def joint(clip: np.ndarray, layout: str, name: str) -> np.ndarray:
    return clip[..., get_layout(layout).named[name], :]


def test_coco17_to_ntu25_in_pixels():
    clip = clip_of('coco17', 2) * 100
    made = convert_layout(clip, 'coco17', 'ntu25')
    assert made.shape == (2, 4, 25, 2) and made.dtype == np.float32  # no depth is invented
    for name in ('left_shoulder', 'right_elbow', 'left_wrist', 'right_hip', 'left_ankle'):
        np.testing.assert_array_equal(joint(made, 'ntu25', name), joint(clip, 'coco17', name))
    hips = (joint(clip, 'coco17', 'left_hip') + joint(clip, 'coco17', 'right_hip')) / 2
    shoulders = (joint(clip, 'coco17', 'left_shoulder') + joint(clip, 'coco17', 'right_shoulder')) / 2
    ears = (joint(clip, 'coco17', 'left_ear') + joint(clip, 'coco17', 'right_ear')) / 2
    for name, expected in (('pelvis', hips), ('chest', shoulders), ('neck', shoulders), ('head', ears),
                           ('spine', (hips + shoulders) / 2)):
        np.testing.assert_allclose(joint(made, 'ntu25', name), expected, rtol=1e-6)
    for end, wrist in (('left_hand', 'left_wrist'), ('left_hand_tip', 'left_wrist'), ('right_thumb_4', 'right_wrist'),
                       ('left_foot', 'left_ankle')):
        np.testing.assert_array_equal(joint(made, 'ntu25', end), joint(clip, 'coco17', wrist))


def test_the_neck_between_chest_and_head():
    clip = clip_of('kinect20')
    made = convert_layout(clip, 'kinect20', 'ntu25')
    np.testing.assert_allclose(joint(made, 'ntu25', 'neck'), joint(clip, 'kinect20', 'chest') * 2 / 3
                               + joint(clip, 'kinect20', 'head') / 3, rtol=1e-6)
    np.testing.assert_array_equal(convert_layout(made, 'ntu25', 'kinect20'), clip)  # nothing is lost on the way back


@pytest.mark.parametrize('source', sorted(LAYOUTS))
def test_every_conversion_keeps_joints_of_one_name_and_averages_the_rest(source):
    clip = clip_of(source)
    for target in targets_of(LAYOUTS[source]):
        made, plan = convert_layout(clip, source, target), conversion(source, target)
        shared = LAYOUTS[source].named.keys() & LAYOUTS[target].named.keys()
        assert len(plan.exact) == len(shared)
        for name in shared:
            np.testing.assert_array_equal(joint(made, target, name), joint(clip, source, name))
        for rule in (plan.interpolated | plan.repeated).values():
            assert sum(rule.values()) == pytest.approx(1)
        assert {LAYOUTS[target].canonical[j] for j in plan.repeated} <= ENDS
        assert len(plan.exact) + len(plan.interpolated) + len(plan.repeated) == LAYOUTS[target].num_joints
        low, high = clip.min(-2), clip.max(-2)  # no position outside the body
        assert (made >= low[..., None, :] - 1e-5).all() and (made <= high[..., None, :] + 1e-5).all()
        assert plan.describe()[0] == f'exact {len(shared)} of {LAYOUTS[target].num_joints} joints'


def test_targets_are_what_can_be_made():
    for source in ('coco17', 'ntu25', 'sbu15', 'hand21'):
        for target in LAYOUTS:
            if target in [source, *targets_of(LAYOUTS[source])]:
                conversion(source, target)
            else:
                with pytest.raises(UserError, match='cannot be converted to'):
                    conversion(source, target)


def test_mirrored_clips_become_mirrored_clips():
    for source in ('coco17', 'ntu25', 'halpe26', 'h36m17'):
        for target in targets_of(LAYOUTS[source]):
            mirror, clip = LAYOUTS[source].mirror, clip_of(source)
            there = convert_layout(clip, source, target)
            np.testing.assert_allclose(convert_layout(clip[..., mirror, :], source, target),
                                       there[..., LAYOUTS[target].mirror, :], rtol=1e-5)


def test_refusals_say_what_is_missing_and_what_can_be_done():
    with pytest.raises(UserError, match="'ntu25' cannot be converted to 'coco17': it has no counterpart for nose, "
                                        'left_eye, right_eye, left_ear, right_ear: '
                                        r'let them repeat .*\(--missing repeat\), or choose .*'):
        convert_layout(clip_of('ntu25'), 'ntu25', 'coco17')
    with pytest.raises(UserError, match='counterpart for hip_centre, spine, .* and 17 more: choose one .*: shrec22$'):
        convert_layout(clip_of('hand21'), 'hand21', 'ntu25', missing='repeat')
    with pytest.raises(UserError, match='left_hand_tip, left_thumb, right_hand_tip, right_thumb'):
        convert_layout(clip_of('kinect20'), 'kinect20', 'ntu25', missing='refuse')
    with pytest.raises(UserError, match="missing='maybe': expected one of ends, refuse, repeat"):
        convert_layout(clip_of('kinect20'), 'kinect20', 'ntu25', missing='maybe')
    with pytest.raises(UserError, match=r'shape \(2, 4, 20, 3\) does not have the 25 joints'):
        convert_layout(clip_of('kinect20'), 'ntu25', 'kinect20')
    nameless = dict(name='x', joints=['a', 'b'], parents=[-1, 0], hip=0, shoulders=[0, 1])
    with pytest.raises(UserError, match='none of its joints has a canonical name; add "canonical"'):
        convert_layout(np.zeros((3, 2, 3)), nameless, 'ntu25', missing='repeat')


def test_missing_joints_repeat_when_asked():
    clip = clip_of('ntu25')
    made = convert_layout(clip, 'ntu25', 'coco17', missing='repeat')
    for name in ('nose', 'left_eye', 'right_ear'):
        np.testing.assert_array_equal(joint(made, 'coco17', name), joint(clip, 'ntu25', 'head'))
    own = dict(name='own', joints=['left_wrist', 'ring'], parents=[-1, 0], hip=0, shoulders=[0, 1])
    made = convert_layout(clip, 'ntu25', own, missing='repeat')  # a joint that no other layout has
    np.testing.assert_array_equal(made[..., 1, :], joint(clip, 'ntu25', 'left_wrist'))


def test_what_is_not_seen_is_not_averaged():
    clip = clip_of('coco17', 2) * 100
    clip[0, 2, COCO.named['left_hip']] = 0  # as written by a pose estimator
    clip[1, 3] = 0  # no person
    made = convert_layout(clip, 'coco17', 'ntu25')
    pelvis = joint(made, 'ntu25', 'pelvis')
    assert not pelvis[0, 2].any() and pelvis[0, 3].all() and not joint(made, 'ntu25', 'spine')[0, 2].any()
    assert not made[1, 3].any()
    centred = clip_of('ntu25') - joint(clip_of('ntu25'), 'ntu25', 'pelvis')[..., None, :]
    low, high = centred.min(-2), centred.max(-2)
    inside = ((low < 0) & (high > 0)).all(-1)
    assert inside.any()
    lower = joint(convert_layout(centred, 'ntu25', 'smpl22'), 'smpl22', 'lower_spine')
    np.testing.assert_allclose(lower[inside], joint(centred, 'ntu25', 'spine')[inside] / 2, rtol=1e-6)


def test_the_vocabulary_is_a_tree_and_rules_use_it():
    assert set(PARENTS) == set(CANONICAL)
    for name in CANONICAL:
        steps = 0
        while PARENTS[name] is not None:
            name, steps = PARENTS[name], steps + 1
            assert steps < 20
    used = {name for rules in RULES.values() for rule in rules for name in rule}
    assert used | set(RULES) | ENDS <= set(CANONICAL)
    for name, rules in RULES.items():
        for rule in rules:
            assert sum(rule.values()) == pytest.approx(1) and name not in rule


def test_a_clip_of_integers_and_other_leading_axes():
    frame = np.arange(34).reshape(17, 2)
    made = convert_layout(frame, 'coco17', 'coco18')
    assert made.dtype == np.float64 and made.shape == (18, 2)
    np.testing.assert_array_equal(made[1], (frame[5] + frame[6]) / 2)
    np.testing.assert_array_equal(convert_layout(frame, 'coco17', COCO), frame)


def test_union():
    layouts = [get_layout('coco17'), get_layout('sbu15')]
    union = union_layout(layouts)
    assert set(union.joints) == set(layouts[0].named) | set(layouts[1].named) == set(union.named)
    assert list(union.joints) == sorted(union.joints, key=CANONICAL.index) and union.name == 'union24'
    assert get_layout(union.fields()) == union
    bones = {(union.joints[child], union.joints[parent]) for child, parent in union.bones}
    assert {('head', 'neck'), ('left_wrist', 'left_elbow'), ('left_hand', 'left_wrist')} <= bones
    for child, parent in union.bones:
        assert union.mirror[parent] == union.parents[union.mirror[child]]
    assert set(union.parts) == {'trunk', 'left_arm', 'right_arm', 'left_leg', 'right_leg'}
    for layout in layouts:
        clip = clip_of(layout.name)
        made, mask = into_union(clip, layout, union), joint_mask(layout, union)
        assert mask.sum() == layout.num_joints and not made[..., ~mask, :].any()
        for name, place in layout.named.items():
            np.testing.assert_array_equal(made[..., union.named[name], :], clip[..., place, :])
    only = union_layout([get_layout('coco17')])  # hangs from the nose, as coco17 itself
    assert only.joints[only.centre] == 'nose' and only.hip == only.centre
    assert union_layout([get_layout('hand21')]).parts.keys() == {'hand'}
    for name in LAYOUTS:
        union_layout([LAYOUTS[name], get_layout('ntu25')])
