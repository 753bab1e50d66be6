"""MediaPipe: 33 landmarks a person."""
import numpy as np

from mmskelssl.datasets.importers.pose.values import frame_list, numbers, plain

_LANDMARKS = dict(world=('pose_world_landmarks', 'poseWorldLandmarks', 'worldLandmarks'),
                  image=('pose_landmarks', 'poseLandmarks', 'landmarks'))


def mediapipe_frames(data, landmarks: str) -> list[np.ndarray]:
    """Persons (P,33,3) of each frame, y up, z away from the camera; a ValueError says what does not fit."""
    return [_mediapipe_frame(frame, f'frame {i}', landmarks)
            for i, frame in enumerate(frame_list(data, 'frames', 'results'))]


def _mediapipe_frame(frame, what: str, landmarks: str) -> np.ndarray:
    if isinstance(frame, dict) and frame and 'landmark' not in frame:
        keys = [key for key in _LANDMARKS[landmarks] if key in frame]
        if not keys:
            raise ValueError(f'{what} has no {landmarks} landmarks ({", ".join(_LANDMARKS[landmarks])})')
        frame = frame[keys[0]]
    if isinstance(frame, dict) and 'landmark' in frame:
        frame = frame['landmark']
    if not frame:
        return np.zeros((0, 33, 3))
    if not isinstance(frame, list):
        raise ValueError(f'{what} is no list of landmarks')
    first, people = frame[0], []
    if isinstance(first, dict) and 'x' in first or isinstance(first, list) and plain(first):
        frame = [frame]
    for points in frame:
        points = points.get('landmark') if isinstance(points, dict) else points
        if not isinstance(points, list) or len(points) != 33:
            raise ValueError(f'{what}: a person is no list of 33 landmarks')
        points = [[point.get(key) for key in 'xyz'] if isinstance(point, dict) else point for point in points]
        points = numbers(points, what)
        if points.ndim != 2 or points.shape[1] < 3:
            raise ValueError(f'{what}: landmarks need x, y and z')
        people.append(points[:, :3] * (-1, -1, 1))  # a half turn: MediaPipe's y leads down, its x to the right
    return np.stack(people)
