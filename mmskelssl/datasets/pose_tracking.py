"""Who is who from frame to frame: greedy nearest matching of detected persons."""
from collections.abc import Iterable

import numpy as np

GATE = .5  # of a person's size: how far the joints may have moved, on average, since the person was seen last
PATIENCE = 30  # frames for which a lost person is waited for
MOST = 32  # persons of a frame, and persons waited for


def track_persons(frames: Iterable[np.ndarray], persons: int, scores: bool) -> np.ndarray:
    """Put detections in order of persons.

    In each frame, the pair of a known person and a detection whose joints are nearest (mean distance over the joints
    that both show, relative to the person's size) is matched first, then the next one of those left, up to
    :data:`GATE`. A detection without a match is a new person; a person not seen for :data:`PATIENCE` frames does not
    come back. The ``persons`` that show most (sum of scores, or of joints where there are none) are kept.

    Args:
        frames: Detections of each frame, (P,V,C), P of 0 and more; joints that are not seen are zero.
        persons: M at most.
        scores: Whether the last channel is a score and no coordinate.

    Returns:
        (M,T,V,C), the one who shows most first; zeros where a person is not seen.

    Raises:
        ValueError: There is nobody in any frame.
    """
    tracks, waiting, count = [], [], 0  # a track is [(frame, joints), ...]
    for count, detections in enumerate(frames, 1):
        detections = detections[_shown(detections, scores).any(1)]
        detections = detections[np.argsort(-_weight(detections, scores), kind='stable')[:MOST]]
        waiting = [track for track in waiting if count - track[-1][0] <= PATIENCE + 1][-MOST:]
        free = list(range(len(detections)))
        for track, i in _matches(waiting, detections, scores):
            waiting[track].append((count, detections[i]))
            free.remove(i)
        new = [[(count, detections[i])] for i in free]
        tracks += new
        waiting += new
    if not tracks:
        raise ValueError('nobody is seen in any frame')
    tracks.sort(key=lambda track: -sum(float(_weight(joints[None], scores)[0]) for _, joints in track))
    joined = np.zeros((min(persons, len(tracks)), count, *tracks[0][0][1].shape), np.float32)
    for person, track in zip(joined, tracks, strict=False):
        for frame, joints in track:
            person[frame - 1] = joints
    return joined


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
    pairs = []
    for at in np.argsort(distance, axis=None, kind='stable'):
        track, i = divmod(int(at), distance.shape[1])
        if distance[track, i] > GATE:
            break
        if all(track != t and i != d for t, d in pairs):
            pairs.append((track, i))
    return pairs
