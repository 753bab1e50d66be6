"""Determines the common properties of the clips of a store from a few files of a pose estimator."""
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from mmskelssl.datasets.importers.pose.contract import Options, Person
from mmskelssl.datasets.importers.pose.recognise import Found, recognise
from mmskelssl.datasets.importers.pose.skeletons import Joints, group_of, layout_for
from mmskelssl.datasets.importers.source import Source, evenly
from mmskelssl.datasets.importers.third import FLAT, Third, third_number, units_of
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, read_layout

SCORED = 16  # number of clips to search for scores if the first one has none
LOOKS = 50  # number of clips to try until one can be read


@dataclass(frozen=True)
class Kind:
    """Common properties of all clips of a store.

    Args:
        what: Description of the first readable file.
        first: Name of that file.
        layout: Layout of the joints.
        third: Meaning of the third number of a joint, if the scores are not separate.
        coordinates: 2 or 3.
        units: Units of the coordinates.
        scores: Whether the first file has scores.
        like: Coordinates (persons, V, 2 or 3) of its bodies, whose size tells the units.
    """
    what: str
    first: str
    layout: SkeletonLayout
    third: Third
    coordinates: int
    units: str
    scores: bool
    like: np.ndarray = field(repr=False, compare=False)


def kind_of(source: Source, clips: dict, options: Options, asked: SkeletonLayout | None, joints: Joints | None,
             third: Third | None) -> Kind:
    """Read clips until one shows a person."""
    first, lost = '', Counter[str]()
    for _, files in list(clips.values())[:LOOKS]:
        for name in files[:LOOKS]:
            try:
                found = recognise(source.called(name), source.read(name), options)
                if any(_shows(person) for clip in found.clips for frame in clip.frames for person in frame):
                    return _kind(source.called(name), found, asked, joints, third)
                lost += found.lost
            except Exception as error:  # noqa: BLE001  a damaged file can raise anything; its import reports it
                first = first or f'{source.called(name)}: {error}'
    reason = first or 'none of the first files shows a person' + ''.join(
        f'; {count} {what}' for what, count in lost.most_common(2))
    raise UserError(f'{source.path}: no sample could be imported: no file can be used; {reason}')


def scores_of_others(kind: Kind, source: Source, clips: dict, options: Options, asked: SkeletonLayout | None,
                      joints: Joints | None, third: Third | None) -> Kind:
    """Return the kind with scores if any of a few other clips, evenly spaced over all, has scores."""
    for _, files in evenly(list(clips.values()), SCORED):
        try:
            name = files[len(files) // 2]
            other = _kind(name, recognise(source.called(name), source.read(name), options), asked, joints, third)
        except Exception:  # noqa: BLE001, S112  its import reports the reason
            continue
        if other.scores and (other.layout, other.coordinates) == (kind.layout, kind.coordinates):
            return replace(kind, scores=True, third=other.third if kind.third == 'drop' else kind.third)
    return kind


def _shows(person: Person) -> bool:
    return bool(np.nan_to_num(person.points[:, :2]).any())


def _kind(name: str, found: Found, asked: SkeletonLayout | None, joints: Joints | None, third: Third | None) -> Kind:
    clip = next(clip for clip in found.clips if any(map(_shows, sum(clip.frames, []))))
    people = [person for frame in clip.frames for person in frame if _shows(person)]
    count = len(people[0].points)
    group = group_of(count, joints, asked)
    if group:
        layout = read_layout(group[0])
    else:
        layout, _ = layout_for(count, clip.joints, found.layouts, asked)
    points = np.concatenate([person.points for person in people if person.points.shape[1] == people[0].points.shape[1]])
    width, scores = points.shape[1], people[0].scores is not None
    if width == 3 and (scores or people[0].depth):
        meaning: Third = 'depth'
    else:
        meaning = third_number(points[:, :3], layout, third) if width > 2 else 'drop'
    if third and width > 2:
        meaning = third
    coordinates = 3 if meaning == 'depth' or width == 4 else 2
    if coordinates == 3 and layout.name in FLAT and asked is None and not clip.joints:
        raise ValueError(f'{count} joints in 3D, which the file does not name: set --layout ('
                         f'{"h36m17 for what MMPose lifts to 3D, " if count == 17 else ""}{layout.name})')
    units = units_of(points[:, :2]) if coordinates == 2 else clip.units or ('m' if _metres(points) else 'unknown')
    what = f'{found.what}, {count} joints' + (f' of which {layout.num_joints} are used' if group else '')
    if meaning == 'score' or coordinates == 3 and width > 2:
        what += f', the third number a {meaning}'
    meaning = 'depth' if coordinates == 3 else meaning  # of four numbers, the fourth is the score
    like = np.stack([person.points for person in people if person.points.shape == people[0].points.shape])
    return Kind(what, name, layout, meaning, coordinates, units, scores or meaning == 'score' or width == 4,
                like[..., :coordinates])


def _metres(points: np.ndarray) -> bool:
    return np.nanmax(np.abs(points[:, :3]), initial=0) < 20
