"""Imports a folder of files written by pose estimators."""
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Literal

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, name_classes, set_splits
from mmskelssl.datasets.importers.options import AtLeast, Jobs, LabelSource, SplitSeed, TestShare, ThirdNumber
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options, Person
from mmskelssl.datasets.importers.pose.kind import Kind, kind_of, scores_of_others
from mmskelssl.datasets.importers.pose.pictures import Grouping, grouping_of, numbered, pose_files
from mmskelssl.datasets.importers.pose.recognise import ENDINGS, TABLES, Found, recognise
from mmskelssl.datasets.importers.pose.skeletons import Joints, group_of, layout_for
from mmskelssl.datasets.importers.pose.values import same_joints
from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.importers.third import Third, check_size, said, third_number, units_of
from mmskelssl.datasets.pose_tracking import track_persons
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, read_layout

PoseLayout = Annotated[str | None, (
    "Skeleton of the files: a layout's name, or a json file; default as stated in the files, or derived from "
    'the number of joints and the program that wrote them')]
Persons = Annotated[int, 'Number of persons to keep: those who are visible most', AtLeast(1)]
Landmarks = Annotated[Literal['world', 'image'] | None, (
    'MediaPipe and TensorFlow.js only: world (metres from the middle of the hips) or image (of the picture); default '
    'world if the files have them')]
Files = Annotated[Literal['auto', 'clips', 'pictures'], (
    'Whether a file is a clip, or a picture of a clip that consists of a folder or of names that differ in a number; '
    '"auto" decides from the first file with a person')]
MaxGap = Annotated[int, 'Number of consecutive pictures that may be unreadable; they become frames without persons',
                   AtLeast(0)]
Group = Annotated[Joints | None, (
    'Joints of a whole body (133 of COCO-WholeBody, 136 of Halpe, OpenPose with hands): body, hands (each hand a '
    'person), or whole; default whole (body for OpenPose), or as the layout requires')]


def import_pose(path: str, writer: StoreWriter, *, layout: PoseLayout = None, persons: Persons = 2,
                joints: Group = None, third: ThirdNumber = None, landmarks: Landmarks = None, files: Files = 'auto',
                max_gap: MaxGap = 5, labels: LabelSource = 'auto', test_share: TestShare = None,
                seed: SplitSeed = 0, jobs: Jobs = None) -> None:
    """Folder or zip of JSON files or tables from pose estimators. The program is identified by the fields.

    OpenPose, ControlNet, AlphaPose, PoseFlow, MMPose, Ultralytics (JSON and .txt labels), OpenPifPaf, ViTPose,
    MediaPipe, TensorFlow.js, COCO results and annotations, PoseTrack, Kinetics-skeleton, CMU Panoptic, Azure Kinect,
    Toyota Smarthome, tables with a column for each coordinate or a row for each joint, and nested lists of numbers.
    A clip is a file, several videos in a file, or a folder (or a prefix of names) with a numbered file per picture.

    2D joints are in pixels (or relative to the picture), y down. MediaPipe's are turned so that y points up and z away
    from the camera. Persons are matched from frame to frame. Missing joints and persons are zeros.
    """
    check_share(test_share)
    source, asked = Source(path), read_layout(layout) if layout else None
    options = Options(landmarks, files, asked.num_joints if asked else 0, joints == 'hands')
    endings = _endings(source)
    grouping = grouping_of(source, endings, files, lambda name, data: _frames_in(source, name, data, options))
    clips = grouping.clips()
    kind = kind_of(source, clips, options, asked, joints, third)
    if not kind.scores:
        kind = scores_of_others(kind, source, clips, options, asked, joints, third)
    print(f'{path}: looks like {kind.what}: layout {kind.layout.name}')
    about = Labels(source, [clip for clip, _ in clips.values()], labels)
    writer.index['classes'] = about.classes
    writer.describe(kind.layout, kind.coordinates, kind.units, kind.scores, said(kind.third))
    read = _Clips(source, grouping, options, kind, joints, asked, persons, max_gap, about, labels, third)
    import_files(source, clips, read, writer, jobs)
    about.report_lost(writer)
    name_classes(writer)
    set_splits(writer, test_share, seed)


def _endings(source: Source) -> tuple[str, ...]:
    """Return the files to read: JSON files if there are any, else tables."""
    found = {ending: pose_files(source, (ending,)) for ending in ENDINGS}
    for kinds in (tuple(ending for ending in ENDINGS if ending not in TABLES), ('.csv', '.tsv'), ('.txt',)):
        if any(found[ending] for ending in kinds):
            rest = sum(len(found[ending]) for ending in ENDINGS if ending not in kinds)
            if rest:
                print(f'note: {rest} files that do not end in {" or ".join(kinds)} are not read')
            return kinds
    raise UserError(f'{source.path}: no files that end in {", ".join(ENDINGS)}')


def _frames_in(source: Source, name: str, data: bytes, options: Options) -> int:
    """Return the number of frames of a file, or 0 if it shows no person."""
    found = recognise(source.called(name), data, options)
    clips = found.clips
    if found.what.startswith('COCO annotations'):
        return 2  # more than one: the file itself lists its pictures
    shown = any(frame for clip in clips for frame in clip.frames)
    return max(len(clip.frames) for clip in clips) * len(clips) if shown else 0


class _Clips:
    """Reads a clip, given the name of its first file."""

    def __init__(self, source: Source, grouping: Grouping, options: Options, kind: Kind, joints: Joints | None,
                 asked: SkeletonLayout | None, persons: int, max_gap: int, about: Labels, labels: str,
                 third: Third | None):
        self.source, self.grouping, self.options, self.kind, self.joints = source, grouping, options, kind, joints
        self.asked, self.persons, self.max_gap, self.about = asked, persons, max_gap, about
        self.labels, self.third = labels, third

    def __call__(self, name: str, data: bytes) -> list[dict]:
        clip, files = self.grouping.clips()[name]
        found = self._pictures(files) if len(files) > 1 else recognise(self.source.called(name), data, self.options)
        if not found.sure and self.options.files == 'auto' and len(files) == 1:
            raise ValueError(f'{found.what} and {len(found.clips[0].frames[0])} persons: is it one picture (a clip has '
                             'a numbered file for each), or is each person a separate frame? Set --files to '
                             'pictures or clips')
        if re.search(r'\bpicture\b', found.what) and self.options.files == 'auto' and len(files) == 1:
            raise ValueError(f'{found.what}, and no other file whose name differs only in a number: '
                             '--files pictures joins the files of a folder to a clip, in the order of their names, '
                             '--files clips makes a clip of one frame')
        if not found.sure and found.what.startswith('nested') and len(self.grouping.clips()) > 1:
            raise ValueError(found.what)
        return [self._sample(clip, one, found) for one in found.clips]

    def _pictures(self, files: Sequence[str]) -> Found:
        """Read one clip from many pictures. A few consecutive unreadable ones become frames without persons."""
        frames: list[list[Person]] = []
        lost: Lost = Counter()
        last, label, run = None, None, 0
        for file in files:
            try:
                found = recognise(file, self.source.read(file), self.options)
                if len(found.clips) != 1 or len(found.clips[0].frames) != 1:
                    raise ValueError(f'{sum(len(clip.frames) for clip in found.clips)} frames in it, but the first '
                                     'files are pictures')
                clip = found.clips[0]
                frames.append([one._replace(names=one.names or clip.joints) for one in clip.frames[0]])
                lost += found.lost
                last, run = found if found.layouts or last is None else last, 0
            except ValueError as error:
                run += 1
                if run > self.max_gap:
                    raise ValueError(f'{PurePosixPath(file).name}: {error} ({run} files in a row: --max-gap)') from None
                frames.append([])
                lost['unreadable files, imported as frames without persons'] += 1
        if last is None:
            raise ValueError('none of its files can be read')
        frames, names = same_joints(frames, lost)
        return Found(last.what, [Clip(numbered(files, frames), joints=names, label=label)], last.layouts, lost)

    def _sample(self, file: str, clip: Clip, found: Found) -> dict:
        name = '/'.join(part for part in (self.about.names[file], clip.name) if part)
        about = self.about.of(file, clip.name)
        if clip.label and 'label' not in about and self.labels == 'auto':
            about['action'] = clip.label
        try:
            keypoints, scores, notes = self._keypoints(clip, found)
        except ValueError as error:
            return dict(name=name, reason=str(error))
        notes = [*notes, *(f'{count} {what}' for what, count in found.lost.items()), *filter(None, [about.pop(
            'note', '')])]
        return dict(name=name, keypoints=keypoints, scores=scores, note='; '.join(notes)) | about

    def _keypoints(self, clip: Clip, found: Found) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        """Return coordinates (M, T, V, C), scores (M, T, V) if the store has scores, and what was dropped."""
        people = [person for frame in clip.frames for person in frame]
        if not people:
            raise ValueError('no frame shows a person')
        counts = Counter(len(person.points) for person in people)
        count, most = counts.most_common(1)[0]
        odd = {*counts} - {count}
        if odd and (2 * most <= len(people) or odd & set(found.layouts)):
            raise ValueError(f'persons of {" and ".join(map(str, sorted(counts)))} joints in one clip')
        left = [f'{counts[other]} persons of {other} joints dropped' for other in sorted(odd)]
        clip = clip._replace(frames=[[person for person in frame if len(person.points) == count]
                                     for frame in clip.frames])
        people = [person for frame in clip.frames for person in frame]
        third = self._third_of(people)
        group, order = group_of(count, self.joints, self.asked), None
        if group is None:
            layout, order = layout_for(count, clip.joints, found.layouts, self.asked)
            if layout != self.kind.layout:
                raise ValueError(f'its layout is {layout.name}, but that of {self.kind.first} is '
                                 f'{self.kind.layout.name}: import them separately')
        arrays = [np.stack([self._array(person, third) for person in frame]) if frame else np.zeros(
            (0, count, self.kind.coordinates + 1)) for frame in clip.frames]
        if clip.units and self.kind.coordinates == 3 and clip.units != self.kind.units:
            raise ValueError(f'its units are {clip.units}, but those of {self.kind.first} are {self.kind.units}: '
                             'import them separately')
        if self.kind.coordinates == 3:
            check_size(np.concatenate(arrays)[..., :3], self.kind.like, self.kind.first)
        if self.kind.units in ('px', 'relative'):
            units = units_of(np.where(np.concatenate(arrays)[..., -1:] > 0, np.concatenate(arrays)[..., :2], np.nan))
            if units != self.kind.units:
                raise ValueError(f'its units are {units}, but those of {self.kind.first} are {self.kind.units}: '
                                 'import them separately')
        known = [[person.track for person in frame if person.track is not None] for frame in clip.frames]
        ids = known if sum(map(len, known)) == len(people) else None
        keypoints, notes = track_persons(arrays, self.persons, scores=True, ids=ids)
        if ids is None and any(known) and any(len(frame) > 1 for frame in clip.frames):
            notes.append(f'only {sum(map(len, known))} of {len(people)} detections have an identity, so persons are '
                         'matched by distance')
        notes = [*notes, *left]
        if group:
            keypoints = np.concatenate([keypoints[:, :, list(part)] for part in group[1]])
            keypoints = keypoints[keypoints.any((1, 2, 3))]
            if not len(keypoints):
                raise ValueError('no frame shows a person')
        if order:
            keypoints = keypoints[:, :, order]
        scored = any(self._is_scored(person) for person in people)
        if scored and not self.kind.scores:
            notes.append(f'its scores are dropped, because {self.kind.first} has none')
        return keypoints[..., :-1], keypoints[..., -1] if scored and self.kind.scores else None, notes

    def _is_scored(self, person: Person) -> bool:
        width = person.points.shape[1]
        return person.scores is not None or width == 4 or width == 3 and self.kind.third == 'score'

    def _third_of(self, people: Sequence[Person]) -> Third:
        """Determine the third number of a clip's joints, if the joints of the first clip have two."""
        widths = {person.points.shape[1] for person in people}
        if self.third or widths == {2} or self.kind.coordinates == 3 or self.kind.third != 'drop':
            return self.kind.third
        third: Third = 'depth' if any(person.scores is not None or person.depth for person in people) else third_number(
            np.concatenate([person.points for person in people if person.points.shape[1] == 3]), self.kind.layout)
        if third == 'depth':
            raise ValueError(f'each joint has a depth, but not in {self.kind.first}: import them separately, or set '
                             '--third drop')
        return third

    def _array(self, person: Person, third: Third) -> np.ndarray:
        """Return (V, C + 1): coordinates and a score, which is 0 for missing joints."""
        points, scores, wanted = person.points, person.scores, self.kind.coordinates
        if scores is None and points.shape[1] > 2 and (points.shape[1] == 4 or third == 'score'):
            points, scores = points[:, :-1], points[:, -1]
            seen = np.isfinite(points).all(1) & (np.nan_to_num(scores) > 0)
        else:
            seen = np.isfinite(points).all(1)
        if points.shape[1] < wanted:
            raise ValueError(f'{points.shape[1]} coordinates per joint, but {self.kind.first} has {wanted}: '
                             'import them separately')
        if points.shape[1] > wanted and third == 'score' and person.scores is not None:
            raise ValueError(f'each joint has a depth and a score, but {self.kind.first} has only a score: import them '
                             'separately, or set --third drop')
        if person.depth and third == 'score' and not self.third:
            raise ValueError(f'each joint has a z, but the third number in {self.kind.first} is a score: import them '
                             'separately, or set --third drop')
        scores = np.ones(len(points)) if scores is None else np.clip(np.nan_to_num(scores), 1e-6, None)
        points = points[:, :wanted]
        seen &= (points != 0).any(1)
        return np.concatenate([np.where(seen[:, None], points, 0), np.where(seen, scores, 0)[:, None]], 1)
