"""Who is who from frame to frame: greedy nearest matching of detected persons."""
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

GATE = .5  # of a person's size: how far the joints may have moved, on average, since the person was seen last
PATIENCE = 30  # frames for which a lost person is waited for
MOST = 32  # persons of a frame, and persons waited for


class Tracked(NamedTuple):
    """Persons in order.

    Args:
        keypoints: (M,T,V,C), the one who shows most first; zeros where a person is not seen.
        notes: What was left out, one text each.
    """
    keypoints: np.ndarray
    notes: list[str]


def track_persons(frames: Iterable[np.ndarray], persons: int, scores: bool,
                  ids: Sequence[Sequence[int | str]] | None = None) -> Tracked:
    """Put detections in order of persons.

    Where the detections have identities, these decide; where no frame shows more than one person, all are the same.
    Else, in each frame, the pair of a known person and a detection whose joints are nearest (mean distance over the
    joints that both show, relative to the person's size) is matched first, then the next one of those left, up to
    :data:`GATE`. A detection without a match is a new person; a person not seen for :data:`PATIENCE` frames does not
    come back. The ``persons`` that show most (sum of scores, or of joints where there are none) are kept.

    Args:
        frames: Detections of each frame, (P,V,C), P of 0 and more; joints that are not seen are zero.
        persons: M at most.
        scores: Whether the last channel is a score and no coordinate.
        ids: Identity of each detection of each frame, if they are known.

    Raises:
        ValueError: There is nobody in any frame.
    """
    frames, notes = list(frames), []
    seen = [_shown(detections, scores).any(1) for detections in frames]
    if ids is not None and any(len(set(names)) < len(names) for names in ids):
        ids = None
        notes.append('identities of persons are not unique within a frame, so they are matched by distance')
    if ids is not None:
        tracks = _by_identity(frames, seen, ids)
    elif max((there.sum() for there in seen), default=0) < 2:
        tracks = [[(i, detections[there][0]) for i, (detections, there) in enumerate(zip(frames, seen, strict=True))
                   if there.any()]]
    else:
        tracks, crowded = _by_distance(frames, seen, scores)
        notes += [f'{crowded} detections left out in frames of more than {MOST} persons'] * bool(crowded)
    tracks = [track for track in tracks if track]
    if not tracks:
        raise ValueError('nobody is seen in any frame')
    tracks.sort(key=lambda track: -sum(float(_weight(joints[None], scores)[0]) for _, joints in track))
    joined = np.zeros((min(persons, len(tracks)), len(frames), *tracks[0][0][1].shape), np.float32)
    for person, track in zip(joined, tracks, strict=False):
        for frame, joints in track:
            person[frame] = joints
    if left := tracks[persons:]:
        notes.append(f'{len(left)} further persons left out, {sum(map(len, left))} detections (--persons)')
    return Tracked(joined, notes)


def _by_identity(frames: list, seen: list, ids: Sequence) -> list:
    tracks: dict = {}
    for i, (detections, there, names) in enumerate(zip(frames, seen, ids, strict=True)):
        for joints, shown, name in zip(detections, there, names, strict=True):
            if shown:
                tracks.setdefault(name, []).append((i, joints))
    return list(tracks.values())


def _by_distance(frames: list, seen: list, scores: bool) -> tuple[list, int]:
    tracks: list = []  # a track is [(frame, joints), ...]
    waiting: list = []
    crowded = 0
    for i, (detections, there) in enumerate(zip(frames, seen, strict=True)):
        detections = detections[there]
        crowded += max(0, len(detections) - MOST)
        detections = detections[np.argsort(-_weight(detections, scores), kind='stable')[:MOST]]
        waiting = [track for track in waiting if i - track[-1][0] <= PATIENCE + 1][-MOST:]
        free = list(range(len(detections)))
        for track, match in _matches(waiting, detections, scores):
            waiting[track].append((i, detections[match]))
            free.remove(match)
        new = [[(i, detections[match])] for match in free]
        tracks += new
        waiting += new
    return tracks, crowded


def _shown(people: np.ndarray, scores: bool) -> np.ndarray:
    """(P,V): which joints are seen."""
    return people[..., -1] > 0 if scores else (people != 0).any(-1)


def _weight(people: np.ndarray, scores: bool) -> np.ndarray:
    """(P,): how much of each person is seen."""
    return people[..., -1].clip(0).sum(1) if scores else _shown(people, scores).sum(1)


def _matches(tracks: list, detections: np.ndarray, scores: bool) -> list[tuple[int, int]]:
    """Pairs of a track and a detection, nearest first, each in one pair at most."""
    if not tracks or not len(detections):
        return []
    last = np.stack([track[-1][1] for track in tracks])
    both = _shown(last, scores)[:, None] & _shown(detections, scores)[None]
    if scores:
        last, detections = last[..., :-1], detections[..., :-1]
    apart = np.linalg.norm(last[:, None] - detections[None], axis=-1)
    mean = (apart * both).sum(-1) / np.maximum(both.sum(-1), 1)
    shown = (last != 0).any(-1, keepdims=True)
    size = np.linalg.norm(np.where(shown, last, -np.inf).max(1) - np.where(shown, last, np.inf).min(1), axis=-1)
    distance = np.where(both.any(-1), mean / np.maximum(size, 1e-9)[:, None], np.inf)
    pairs: list[tuple[int, int]] = []
    for at in np.argsort(distance, axis=None, kind='stable'):
        track, i = divmod(int(at), distance.shape[1])
        if distance[track, i] > GATE:
            break
        if all(track != t and i != d for t, d in pairs):
            pairs.append((track, i))
    return pairs
