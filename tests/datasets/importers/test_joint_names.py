"""Joint names as programs write them lead to the built-in layouts, in any order."""
import random

import pytest

from mmskelssl.datasets.importers.pose import instances
from mmskelssl.datasets.importers.pose.skeletons import layout_for
from mmskelssl.layouts import LAYOUTS, get_layout

FEET = 'left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel'
FACE = 'nose left_eye right_eye left_ear right_ear'
LIMBS = ('left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip {}left_knee '
         'right_knee left_ankle right_ankle')
FINGERS = [f'{finger}{i}' for finger in ('thumb', 'forefinger', 'middle_finger', 'ring_finger', 'pinky_finger')
           for i in (1, 2, 3, 4)]
NAMES = {
    'easy_ViTPose coco_25': ('vitpose25', f'{FACE} neck {LIMBS.format("hip ")} {FEET}'),
    'MMPose mpii': ('mpii16', 'right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck '
                              'head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist'),
    'AP-10K': ('animal17', 'L_Eye R_Eye Nose Neck Root-of-tail L_Shoulder L_Elbow L_F_Paw R_Shoulder R_Elbow R_F_Paw '
                           'L_Hip L_Knee L_B_Paw R_Hip R_Knee R_B_Paw'),
    'COCO-WholeBody': ('coco_wholebody133', ' '.join([
        FACE, LIMBS.format(''), FEET, *(f'face-{i}' for i in range(68)),
        *(f'{side}_{name}' for side in ('left', 'right') for name in ('hand_root', *FINGERS))])),
    'MediaPipe hands': ('hand21', 'WRIST THUMB_CMC THUMB_MCP THUMB_IP THUMB_TIP ' + ' '.join(
        f'{finger}_{joint}' for finger in ('INDEX_FINGER', 'MIDDLE_FINGER', 'RING_FINGER', 'PINKY')
        for joint in ('MCP', 'PIP', 'DIP', 'TIP'))),
    'Azure Kinect': ('azure32', 'PELVIS SPINE_NAVAL SPINE_CHEST NECK CLAVICLE_LEFT SHOULDER_LEFT ELBOW_LEFT WRIST_LEFT '
                     'HAND_LEFT HANDTIP_LEFT THUMB_LEFT CLAVICLE_RIGHT SHOULDER_RIGHT ELBOW_RIGHT WRIST_RIGHT '
                     'HAND_RIGHT HANDTIP_RIGHT THUMB_RIGHT HIP_LEFT KNEE_LEFT ANKLE_LEFT FOOT_LEFT HIP_RIGHT '
                     'KNEE_RIGHT ANKLE_RIGHT FOOT_RIGHT HEAD NOSE EYE_LEFT EAR_LEFT EYE_RIGHT EAR_RIGHT'),
    'Kinect 2': ('ntu25', 'SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight '
                 'ElbowRight WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight '
                 'FootRight SpineShoulder HandTipLeft ThumbLeft HandTipRight ThumbRight'),
    'Kinect 1': ('kinect20', 'HipCenter Spine ShoulderCenter Head ShoulderLeft ElbowLeft WristLeft HandLeft '
                 'ShoulderRight ElbowRight WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight '
                 'AnkleRight FootRight'),
    'Halpe-FullBody': ('halpe26', 'Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip '
                       'LKnee Rknee LAnkle RAnkle Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel'),
    'MMPose halpe26': ('halpe26', f'{FACE} {LIMBS.format("")} head neck hip left_big_toe right_big_toe left_small_toe '
                                  'right_small_toe left_heel right_heel'),
    'MMPose h36m': ('h36m17', 'root right_hip right_knee right_foot left_hip left_knee left_foot spine thorax '
                              'neck_base head left_shoulder left_elbow left_wrist right_shoulder right_elbow '
                              'right_wrist'),
    'OpenPose': ('openpose25', 'Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle '
                 'LHip LKnee LAnkle REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel'),
    'Panoptic': ('panoptic19', 'Neck Nose BodyCenter lShoulder lElbow lWrist lHip lKnee lAnkle rShoulder rElbow rWrist '
                 'rHip rKnee rAnkle lEye lEar rEye rEar'),
    'MMPose coco': ('coco17', f'{FACE} {LIMBS.format("")}')}


@pytest.mark.parametrize('program', NAMES)
def test_names_of_programs(program):
    expected, text = NAMES[program]
    names = text.split()
    layout, order = layout_for(len(names), names, instances.LAYOUTS, None)
    assert (layout.name, order) == (expected, None)  # the program's order is the layout's
    mixed = random.Random(0).sample(names, len(names))
    layout, order = layout_for(len(names), mixed, instances.LAYOUTS, None)
    assert layout.name == expected and [mixed[i] for i in order] == names
    assert layout_for(len(names), mixed, {}, get_layout(expected))[1] == order


def test_every_layout_is_found_by_its_own_names():
    for name in LAYOUTS:
        layout = get_layout(name)
        found, order = layout_for(layout.num_joints, layout.joints, {}, None)
        assert found.joints == layout.joints and order is None
