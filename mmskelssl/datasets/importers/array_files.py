"""Reads clips from npy, npz, csv and json files."""
import io
from collections import Counter

import numpy as np

from mmskelssl.datasets.importers.axes import clips_of
from mmskelssl.datasets.importers.pose.recognise import outline
from mmskelssl.datasets.importers.pose.values import parse
from mmskelssl.datasets.importers.table import read_table
from mmskelssl.datasets.importers.table_clips import table_clips
from mmskelssl.datasets.importers.text import any_text
from mmskelssl.datasets.importers.train_test import TrainTest, is_train_test
from mmskelssl.npz import MAX_CLIPS, loaded, read_npz

SCORES = ('scores', 'keypoint_scores', 'keypoint_score', 'confidence')  # arrays of an npz, by preference


def clips_in(name: str, data: bytes, joints: int, axes: str | None = None) -> list[tuple[str, np.ndarray, dict]]:
    """Return (key, clip (M, T, V, C), known facts) for each clip of a file. A single clip has the key ''."""
    ending = name.lower().rsplit('.', 1)[-1]
    if ending == 'npz':
        if is_train_test(io.BytesIO(data)):
            return [*TrainTest(io.BytesIO(data), name, joints)]
        arrays = read_npz(data)
        if 'keypoints' in arrays:
            return _stacked(arrays, joints, axes)
        if odd := [key for key, array in arrays.items() if array.ndim < 2]:
            raise ValueError(f'keys {", ".join(arrays)[:100]}: {odd[0]} is not a clip; name the array of clips '
                             'keypoints, and arrays about them labels, subjects and ids')
        return [(f'{key}/{i:06d}' if len(clips) > 1 else key, clip, {}) for key, array in arrays.items()
                for clips in [clips_of(array, joints, axes, f'{key}: ')] for i, clip in enumerate(clips)]
    if ending == 'npy':
        array = loaded(lambda: np.load(io.BytesIO(data), allow_pickle=False))
    elif ending in ('csv', 'tsv'):
        return _from_table(data, joints)
    else:
        content = parse(data)
        if isinstance(content, dict) and 'keypoints' not in content or isinstance(content, list) and any(
                isinstance(part, dict) for part in content):
            raise ValueError(f'{outline(content)}, where nested lists or a dict with "keypoints" should be; files of '
                             'pose estimators are read by `pose`')
        return _from_json(content, joints, axes)
    clips = clips_of(array, joints, axes)
    return [(f'{i:06d}' if len(clips) > 1 else '', clip, {}) for i, clip in enumerate(clips)]


def _from_json(content, joints: int, axes: str | None) -> list[tuple[str, np.ndarray, dict]]:
    """Return the clips of nested lists, or of a dict with ``keypoints`` and perhaps scores, a label and a subject."""
    facts: dict = content if isinstance(content, dict) else {}
    clips = clips_of(_numbers(facts['keypoints'] if facts else content, 'keypoints'), joints, axes)
    known: dict = {}
    if facts.get('label') not in (None, ''):
        text = isinstance(facts['label'], str)
        known['action' if text else 'label'] = facts['label'] if text else _label(facts['label'], 'label')
    if facts.get('subject') is not None:
        known['subject'] = _label(facts['subject'], 'subject')
    key = next((key for key in SCORES if facts.get(key) is not None), None)
    if key:
        scores = _numbers(facts[key], key)
        if len(clips) > 1 or clips[0].shape[:-1] != (scores.shape if scores.ndim == 3 else (1, *scores.shape)):
            raise ValueError(f'{key} have shape {scores.shape}, expected one number for each joint of a clip, '
                             f'{clips[0].shape[:-1]}')
        known['scores'] = scores.reshape(clips[0].shape[:-1])
        if clips[0].shape[-1] == 2:
            clips = [np.where(known['scores'][..., None] > 0, clips[0], 0)]
    if rest := sorted(set(facts) - {'keypoints', 'label', 'subject', key}):
        known['note'] = f'keys of the file that are not read: {", ".join(map(str, rest))[:80]}'
    return [(f'{i:06d}' if len(clips) > 1 else '', clip, dict(known)) for i, clip in enumerate(clips)]


def _numbers(values, what: str) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f'{what}: lists of different lengths, or values that are not numbers') from None


def _from_table(data: bytes, joints: int) -> list[tuple[str, np.ndarray, dict]]:
    lost: Counter = Counter()
    made = []
    for clip in table_clips(read_table(any_text(data), joints), joints, lost):
        people = [person for frame in clip.frames for person in frame]
        tracks = list(dict.fromkeys(person.track for person in people))
        if any(len({person.track for person in frame}) < len(frame) for frame in clip.frames):
            raise ValueError('several persons in a frame, but no column that identifies them: read it with `pose`')
        keypoints = np.zeros((len(tracks), len(clip.frames), *people[0].points.shape))
        scores = np.zeros(keypoints.shape[:3]) if people[0].scores is not None else None
        for t, frame in enumerate(clip.frames):
            for person in frame:
                keypoints[tracks.index(person.track), t] = person.points
                if scores is not None and person.scores is not None:
                    scores[tracks.index(person.track), t] = person.scores
        if keypoints.shape[2] != joints:
            raise ValueError(f'{keypoints.shape[2]} joints, but the layout has {joints}')
        about: dict = dict(action=clip.label) if clip.label else {}
        if clip.joints:
            about['joints'] = clip.joints
        if people[0].depth:
            about['depth'] = True  # the header says z
        if scores is not None and keypoints.shape[3] == 2:
            keypoints = np.concatenate([keypoints, scores[..., None]], -1)
        elif scores is not None:
            about['scores'] = scores
        if rest := [what for what in lost if what != 'joints without numbers']:
            about['note'] = '; '.join(rest)
        made.append((clip.name, keypoints, about))
    return made


def _check_count(clips: int) -> None:
    if clips > MAX_CLIPS:
        raise ValueError(f'{clips} clips; at most {MAX_CLIPS} are read from one file')


def _label(label, what: str) -> int:
    if isinstance(label, bool) or not (isinstance(label, int) or isinstance(label, float) and label.is_integer()):
        raise ValueError(f'{what}: label {label!r} is not an integer')
    return int(label)


def _stacked(arrays: dict[str, np.ndarray], joints: int, axes: str | None) -> list[tuple[str, np.ndarray, dict]]:
    clips = arrays['keypoints']
    if clips.ndim not in (4, 5) or axes and axes[0] != 'N':
        raise ValueError(f'keypoints have shape {clips.shape}, expected (N, [M,] T, {joints}, C)')
    for key in ('ids', 'labels', 'subjects'):  # compared before they become lists, which take more memory
        if key in arrays and arrays[key].shape != clips.shape[:1]:
            raise ValueError(f'{len(clips)} clips, but {key} of shape {arrays[key].shape}')
    _check_count(len(clips))
    ids = [str(name) for name in arrays['ids'].tolist()] if 'ids' in arrays else [f'{i:06d}' for i in range(len(clips))]
    about = {one: arrays[many].tolist() for one, many in (('label', 'labels'), ('subject', 'subjects'))
             if many in arrays}
    scores = next((key for key in SCORES if key in arrays), None)
    expected = tuple(np.delete(clips.shape, axes.index('C') if axes else -1).tolist())
    if scores and arrays[scores].shape != expected:
        raise ValueError(f'{scores} have shape {arrays[scores].shape}, expected {expected}, one for each joint')
    made: list = []
    rest = sorted(set(arrays) - {'keypoints', 'labels', 'subjects', 'ids', scores})
    for i, clip in enumerate(clips):
        known = {key: values[i] for key, values in about.items()}
        if isinstance(known.get('label'), str):
            known['action'] = known.pop('label')
        for key in known.keys() & {'label', 'subject'}:
            known[key] = _label(known[key], f'{key}s')
        if rest and not made:
            known['note'] = f'keys of the file that are not read: {", ".join(rest)[:80]}'
        keypoints = clips_of(clip, joints, axes and axes[1:])[0]
        if scores:  # a joint with the score 0 is missing
            score = arrays[scores][i]
            score = clips_of(np.stack([score, score], axes.index('C') - 1 if axes else -1), joints,
                             axes and axes[1:])[0][..., 0]
            known['scores'] = score
            keypoints = np.where(score[..., None] > 0, keypoints, 0) if keypoints.shape[-1] == 2 else keypoints
        made.append((ids[i], keypoints, known))
    return made
