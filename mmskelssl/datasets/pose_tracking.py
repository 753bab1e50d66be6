"""Tracks detected persons across frames by greedy nearest matching."""
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

GATE = .5  # largest mean distance of the joints since the person's last detection, relative to the person's size
PATIENCE = 30  # frames after which a lost person is given up
MOST = 32  # limit for persons in a frame and for lost persons


class Tracked(NamedTuple):
    """Tracked persons.

    Args:
        keypoints: (M,T,V,C), the most visible person first; zeros in frames without the person.
        notes: Descriptions of dropped detections.
    """
    keypoints: np.ndarray
    notes: list[str]


def track_persons(frames: Iterable[np.ndarray], persons: int, scores: bool,
                  ids: Sequence[Sequence[int | str]] | None = None) -> Tracked:
    """Assign detections to persons.

    Known identities are used if present. If no frame shows more than one person, all detections belong to one person.
    Otherwise each frame is matched greedily: the known person and the detection with the nearest joints are matched
    first, then the nearest pair of the rest, up to :data:`GATE`. The distance is the mean over the joints visible in
    both, relative to the person's size. An unmatched detection becomes a new person. A person not seen for
    :data:`PATIENCE` frames is never matched again. The most visible ``persons`` are kept, measured by the sum of scores
    or, without scores, the number of joints.

    Args:
        frames: Detections of each frame, (P,V,C) with P >= 0. Missing joints are zero.
        persons: Largest number of persons M.
        scores: Whether the last channel is a score rather than a coordinate.
        ids: Identity of each detection in each frame, if known.

    Returns:
        The tracked persons and notes on dropped detections.

    Raises:
        ValueError: No frame shows a person.
    """
    frames, notes = list(frames), []
    seen = [_shown(detections, scores).any(1) for detections in frames]
    if ids is not None and any(len(set(names)) < len(names) for names in ids):
        ids = None
        notes.append('identities of persons are not unique within a frame, so persons are matched by distance')
    if ids is not None:
        tracks = _by_identity(frames, seen, ids)
    elif max((there.sum() for there in seen), default=0) < 2:
        tracks = [[(i, detections[there][0]) for i, (detections, there) in enumerate(zip(frames, seen, strict=True))
                   if there.any()]]
    else:
        tracks, crowded = _by_distance(frames, seen, scores)
        notes += [f'{crowded} detections dropped in frames with more than {MOST} persons'] * bool(crowded)
    tracks = [track for track in tracks if track]
    if not tracks:
        raise ValueError('no frame shows a person')
    tracks.sort(key=lambda track: -sum(float(_weight(joints[None], scores)[0]) for _, joints in track))
    joined = np.zeros((min(persons, len(tracks)), len(frames), *tracks[0][0][1].shape), np.float32)
    for person, track in zip(joined, tracks, strict=False):
        for frame, joints in track:
            person[frame] = joints
    if left := tracks[persons:]:
        notes.append(f'{len(left)} further persons dropped, {sum(map(len, left))} detections (--persons)')
    return Tracked(joined, notes)


def count_tracks(clip: np.ndarray) -> int:
    """Return the number of persons that matching by distance alone finds in a clip (M, T, V, C) without scores.

    It is smaller than M if the clip shows one person as several.
    """
    seen = clip.any((2, 3))
    frames = [clip[there, t] for t, there in enumerate(seen.T)]
    return len(_by_distance(frames, [np.ones(len(people), bool) for people in frames], False)[0])


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
    """Return (P,V) bool: the visible joints."""
    return people[..., -1] > 0 if scores else (people != 0).any(-1)


def _weight(people: np.ndarray, scores: bool) -> np.ndarray:
    """Return (P,): how much of each person is visible."""
    return people[..., -1].clip(0).sum(1) if scores else _shown(people, scores).sum(1)


def _matches(tracks: list, detections: np.ndarray, scores: bool) -> list[tuple[int, int]]:
    """Match tracks and detections, nearest first. Each is in at most one pair."""
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
