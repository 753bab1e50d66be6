"""Bandai-Namco-Research-Motiondataset-2: motion capture of 10 actions in 7 styles (CC BY-NC 4.0).

The published files are .bvh in centimetres, ``dataset-2_ACTION_STYLE_NNN.bvh``. An .npz holds the same in less space:
``step_mm`` (frames, 21, 3) int16 millimetres, y up, the first frame of each clip in full and the others as differences
from the previous frame; ``frames`` (clips,) their lengths; ``ids``, ``action``, ``style`` (clips,); the names
``actions`` and ``styles``; ``joints``; ``fps``.
"""
import re
from functools import partial
from typing import Annotated, Literal

import numpy as np

from mmskelssl.datasets.importers.import_files import add_or_skip, import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.importers.splits import split_by
from mmskelssl.datasets.mocap import read_bvh, resample
from mmskelssl.datasets.mocap.motion import MAX_BYTES as MAX_MOTION
from mmskelssl.datasets.mocap.motion import check_size
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.npz import MAX_CLIPS, read_npz

ACTIONS = ['raise-up-both-hands', 'raise-up-left-hand', 'raise-up-right-hand', 'run', 'walk', 'walk-turn-left',
           'walk-turn-right', 'wave-both-hands', 'wave-left-hand', 'wave-right-hand']
STYLES = ['active', 'elderly', 'exhausted', 'feminine', 'masculine', 'normal', 'youthful']
TEST_STYLES = {'active', 'elderly', 'exhausted'}
TEST_ACTIONS = {'run', 'wave-left-hand', 'raise-up-right-hand', 'walk-turn-left'}
# Joints of the files, in the order of the layout bandai21.
JOINTS = ['Hips', 'Spine', 'Chest', 'Neck', 'Head', 'Shoulder_L', 'UpperArm_L', 'LowerArm_L', 'Hand_L', 'Shoulder_R',
          'UpperArm_R', 'LowerArm_R', 'Hand_R', 'UpperLeg_L', 'LowerLeg_L', 'Foot_L', 'Toes_L', 'UpperLeg_R',
          'LowerLeg_R', 'Foot_R', 'Toes_R']
FPS = 15.
_NAME = re.compile(rf'(?:dataset-2_)?(({"|".join(ACTIONS)})_({"|".join(STYLES)})_\d+)')


def import_bandai(
        path: str, writer: StoreWriter, *,
        labels: Annotated[Literal['action', 'style'], 'Class of a clip: its action or its style'] = 'action',
        jobs: Jobs = None) -> None:
    """Bandai-Namco-Research-Motiondataset-2, a folder or zip of its .bvh files, or an .npz; splits style and action.

    style_train and style_test (train and test if the label is the action) have different styles: feminine, masculine,
    normal and youthful for training; active, elderly and exhausted for testing. action_train and action_test (train and
    test if the label is the style) have different actions: run, wave-left-hand, raise-up-right-hand and walk-turn-left
    are for testing. Motion is resampled to 15 frames per second.
    """
    source = Source(path)
    files = source.files('.bvh', '.npz')
    if not files:
        raise UserError(f'{path}: no .bvh files, and no .npz')
    if len(files) > 1 and any(name.lower().endswith('.npz') for name in files):
        raise UserError(f'{path}: it holds .npz files among others; name one file, or a folder of .bvh files')
    writer.describe('bandai21', fps=FPS)
    writer.index['classes'] = list(ACTIONS if labels == 'action' else STYLES)
    if (source.path if files == ['.'] else files[0]).lower().endswith('.npz'):
        _import_npz(source, files[0], writer, labels)
    else:
        import_files(source, files, partial(read_motion, labels), writer, jobs)
    for name in ('style', '') if labels == 'action' else ('style',):
        split_by(writer, name, lambda sample: sample['style'] not in TEST_STYLES)
    for name in ('action', '') if labels == 'style' else ('action',):
        split_by(writer, name, lambda sample: sample['action'] not in TEST_ACTIONS)


def read_motion(labels: str, name: str, data: bytes) -> list[dict]:
    """Return the sample of a .bvh file."""
    if len(data) > MAX_MOTION:
        raise ValueError(f'it has {len(data) >> 20} MiB')
    about = _about(stem(name), labels)
    motion = read_bvh(text_of(data), FPS)
    place = {joint: i for i, joint in enumerate(motion.names)}
    lost = [joint for joint in JOINTS if joint not in place]
    if lost:
        raise ValueError(f'no joint {lost[0]!r}' + (f' and {len(lost) - 1} others' if lost[1:] else ''))
    positions = motion.positions[:, [place[joint] for joint in JOINTS]] / 100
    if motion.rate is None:
        raise ValueError('it does not state its frame rate')
    return [dict(keypoints=resample(positions, motion.rate, FPS)[None], **about)]


def _about(name: str, labels: str) -> dict:
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f'{name!r} is not named ACTION_STYLE_NUMBER by an action and a style of the data set')
    identifier, action, style = match.groups()
    label = ACTIONS.index(action) if labels == 'action' else STYLES.index(style)
    return dict(name=identifier, label=label, action=action, style=style)


def _import_npz(source: Source, name: str, writer: StoreWriter, labels: str) -> None:
    try:
        steps, frames, ids = _read_npz(source.read(name))
    except ValueError as error:
        raise UserError(f'{source.path}: not an .npz of this data set ({error})') from error
    start = 0
    for identifier, length in zip(ids, frames.tolist(), strict=True):
        clip = np.cumsum(steps[start:start + length], axis=0, dtype=np.int64) / 1000
        start += length
        try:
            about = _about(identifier, labels)
        except ValueError as error:
            writer.skip(identifier, str(error))
            continue
        add_or_skip(writer, keypoints=clip[None], **about)


def _read_npz(data: bytes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return steps (frames, 21, 3), clip lengths and ids. Raises a ValueError for a damaged file."""
    arrays = read_npz(data, ('step_mm', 'frames', 'ids', 'joints', 'fps'))
    lost = [key for key in ('step_mm', 'frames', 'ids', 'joints', 'fps') if key not in arrays]
    if lost:
        raise ValueError(f'no {lost[0]} in it')
    steps, frames, ids, joints = (arrays[key] for key in ('step_mm', 'frames', 'ids', 'joints'))
    if arrays['fps'].shape or arrays['fps'].dtype.kind not in 'iuf':
        raise ValueError('fps is not a number')
    fps = float(arrays['fps'])
    if joints.tolist() != JOINTS:
        raise ValueError('its joints are not those of the data set')
    if fps != FPS:
        raise ValueError(f'{fps:g} frames per second, expected {FPS:g}')
    if steps.dtype.kind != 'i' or steps.ndim != 3 or steps.shape[1:] != (len(JOINTS), 3):
        raise ValueError(f'step_mm is {steps.dtype} of shape {steps.shape}, expected integers (frames, 21, 3)')
    if frames.dtype.kind != 'i' or frames.ndim != 1 or (frames < 1).any() or int(frames.sum(dtype=np.int64)) != len(
            steps):
        raise ValueError(f'frames are not the lengths of clips with {len(steps)} frames together')
    if len(frames) > MAX_CLIPS:
        raise ValueError(f'{len(frames)} clips; at most {MAX_CLIPS} are read from one file')
    check_size(len(JOINTS), int(frames.max()))
    if ids.dtype.kind != 'U' or ids.shape != frames.shape:
        raise ValueError(f'ids are not the names of {len(frames)} clips')
    return steps, frames, ids.tolist()
