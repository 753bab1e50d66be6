"""What pose estimators write as JSON: MediaPipe, OpenPose BODY_25, and COCO's 17 keypoints in their usual forms."""
from typing import Annotated, Literal

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, set_splits
from mmskelssl.datasets.importers.options import (
    Jobs,
    KeepScores,
    LabelSource,
    SplitSeed,
    TestShare,
)
from mmskelssl.datasets.importers.pose.coco import coco_frames
from mmskelssl.datasets.importers.pose.mediapipe import mediapipe_frames
from mmskelssl.datasets.importers.pose.openpose import openpose_clips, openpose_frame
from mmskelssl.datasets.importers.pose.values import parse
from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.pose_tracking import track_persons
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

PoseLayout = Annotated[Literal['coco17', 'mediapipe33', 'openpose25'], 'Which estimator wrote the files']
Persons = Annotated[int, 'Persons kept, those who show most']
Landmarks = Annotated[Literal['world', 'image'], (
    'MediaPipe only: world (metres from the middle of the hips) or image (shares of the picture)')]


def import_pose_json(path: str, writer: StoreWriter, *, layout: PoseLayout, persons: Persons = 2,
                     landmarks: Landmarks = 'world', scores: KeepScores = False, labels: LabelSource = 'auto',
                     test_share: TestShare = 0.2, seed: SplitSeed = 0, jobs: Jobs = None) -> None:
    """Folder or zip of pose estimators' JSON: MediaPipe's, OpenPose's, or COCO's 17 keypoints in many forms.

    coco17 (one file per clip) and openpose25 (one folder per clip, or a prefix of file names, with one file per frame):
    channels x, y in pixels, y down. mediapipe33 (one file per clip): x, y, z, turned so that y is up and z leads away
    from the camera. Persons are matched from frame to frame, the nearest first; joints and persons that are not seen
    are zeros.

    COCO's forms: a list of frames, or a dict with the list "frames" or "instance_info" (MMPose); a frame is a list of
    persons, or a dict that holds it as "people", "persons", "instances" or "predictions"; a person is 17 (x, y, score),
    flat or not, alone or as "keypoints", with "keypoint_scores" beside 17 (x, y), or with lists "x", "y", "visible"
    (Ultralytics). Or COCO's results and annotations, a flat list with an "image_id" each, whose number is the frame's.
    MediaPipe's: a list of frames, a frame being one person's 33 landmarks or a list of such, under MediaPipe's names
    for them or not, null or empty where nobody was found.
    """
    check_share(test_share)
    if persons < 1:
        raise UserError(f'--persons {persons} must be 1 or more')
    source = Source(path)
    openpose_clips.cache_clear()  # the folder may have changed since
    if layout == 'openpose25':
        clips = {first: clip for first, (clip, _) in openpose_clips(source.path).items()}
    else:
        clips = {name: name for name in source.files('.json')}
    if not clips:
        what = 'files NAME_NUMBER_keypoints.json' if layout == 'openpose25' else '.json files'
        raise UserError(f'{path}: no {what} in it')
    about = Labels(source, list(clips.values()), labels)
    writer.index['classes'] = about.classes
    flat = layout != 'mediapipe33'
    units = 'px' if flat else 'm' if landmarks == 'world' else 'image'
    writer.describe(layout, 2 if flat and not scores else 3, units)
    import_files(source, clips, _Clips(source, layout, persons, landmarks, about, writer.channels), writer, jobs)
    about.report_lost(writer)
    set_splits(writer, test_share, seed)


class _Clips:
    """Reads a clip, by the name of its first file."""

    def __init__(self, source: Source, layout: str, persons: int, landmarks: str, about: Labels, channels: int):
        self.source, self.layout, self.persons, self.landmarks = source, layout, persons, landmarks
        self.about, self.channels = about, channels

    def __call__(self, name: str, data: bytes) -> list[dict]:
        clip = name
        if self.layout == 'openpose25':
            clip, files = openpose_clips(self.source.path)[name]
            frames = (openpose_frame(parse(self.source.read(file)), file) for file in files)
        elif self.layout == 'coco17':
            frames = coco_frames(parse(data))
        else:
            frames = mediapipe_frames(parse(data), self.landmarks)
        keypoints = track_persons(frames, self.persons, scores=self.layout != 'mediapipe33')
        keypoints = keypoints[..., :self.channels]
        return [dict(name=self.about.names[clip], keypoints=keypoints) | self.about.of(clip)]
