"""Motion capture: CMU's and HDM05's asf/amc files, and BVH files of any skeleton."""
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Annotated

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, given_splits, is_table, set_splits
from mmskelssl.datasets.importers.options import Jobs, SplitSeed, TestShare
from mmskelssl.datasets.importers.source import Source, stem
from mmskelssl.datasets.importers.splits import odd_even_subjects
from mmskelssl.datasets.importers.text import any_text
from mmskelssl.datasets.importers.third import check_size
from mmskelssl.datasets.mocap import Acclaim, Motion, read_amc, read_asf, read_bvh, resample
from mmskelssl.datasets.mocap.layout import layout_of_motion
from mmskelssl.datasets.mocap.motion import MAX_BYTES
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS, SkeletonLayout, get_layout, read_layout

RATE = 120.  # of CMU's files, which do not state it


def _both_sides(middle: dict[str, str], left: dict[str, str], sides: tuple[str, str]) -> dict[str, str]:
    return middle | {f'{side}_{joint}': name.format(short) for side, short in zip(('left', 'right'), sides, strict=True)
                     for joint, name in left.items()}


# The bone of an asf file, or the joint of CMU's bvh conversions, at each joint of cmu31.
ASF_BONES = _both_sides(
    dict(root='root', lower_back='lowerback', upper_back='upperback', thorax='thorax', lower_neck='lowerneck',
         upper_neck='upperneck', head='head'),
    dict(hip='{}hipjoint', knee='{}femur', ankle='{}tibia', foot='{}foot', toes='{}toes', shoulder='{}clavicle',
         elbow='{}humerus', wrist='{}radius', palm='{}wrist', hand='{}hand', fingers='{}fingers', thumb='{}thumb'),
    ('l', 'r'))
BVH_JOINTS = _both_sides(
    dict(root='Hips', lower_back='Spine', upper_back='Spine1', thorax='Neck', lower_neck='Neck1', upper_neck='Head',
         head='Head_end'),
    dict(hip='{}UpLeg', knee='{}Leg', ankle='{}Foot', foot='{}ToeBase', toes='{}ToeBase_end', shoulder='{}Arm',
         elbow='{}ForeArm', wrist='{}Hand', palm='{}FingerBase', hand='{}HandIndex1', fingers='{}HandIndex1_end',
         thumb='{}Thumb_end'),
    ('Left', 'Right')) | dict(left_thumb='LThumb_end', right_thumb='RThumb_end')


MotionLayout = Annotated[str | None, (
    "Skeleton to import: a layout's name or a json file, whose joints are named as in the files; default cmu31 (the "
    "far end of each bone) for CMU's skeleton, and for other BVH files one that is read from the joints' names")]
Scale = Annotated[float | None, (
    'Length of one unit of the files in metres; default for asf/amc the value in the .asf file (CMU: 0.0254 / 0.45); '
    'BVH files do not state it and keep their own unit')]
MotionLabels = Annotated[str, (
    '"folders" (the folder of each file), "none", or a csv file with a header and the columns name, label, subject, '
    'split, of which only name is required; "auto" uses labels.csv among the files, or else, for .bvh files only, '
    "the folders if there are several (CMU's are subjects)")]


def import_cmu(path: str, writer: StoreWriter, *, layout: MotionLayout = None,
               fps: Annotated[float, 'Frames per second to resample to; CMU records 120'] = 30., scale: Scale = None,
               labels: MotionLabels = 'auto', test_share: TestShare = None, seed: SplitSeed = 0,
               jobs: Jobs = None) -> None:
    """Folder or zip of motion capture: CMU's and HDM05's asf/amc files, or BVH files; splits xsub, or those of labels.

    An .amc file uses the .asf file in its folder whose name is a prefix of its own name, or else the only one there.
    The subject is the NN of NN_TT.amc, as at CMU, unless the labels define it. Odd subjects train and even ones test.
    If subjects are unknown, or all odd or all even, the splits train and test are drawn at random.
    """
    check_share(test_share)
    if not 1 <= fps <= 1000:
        raise UserError(f'--fps {fps:g} is outside 1..1000')
    if scale is not None and not 0 < scale < 1e6:
        raise UserError(f'--scale {scale:g}: the length of one unit in metres must be above 0')
    source = Source(path)
    files = source.files('.amc', '.bvh')
    if not files:
        raise UserError(f'{path}: no .amc or .bvh files in it')
    kinds = {_is_bvh(source, name) for name in files}
    if scale is None and len(kinds) > 1:
        raise UserError(f'{path} holds .amc and .bvh files, in different units: set --scale, the length of one unit '
                        'in metres')
    if labels == 'auto' and not any(map(is_table, source.files('.csv'))) and False in kinds:
        labels = 'none'
    about = Labels(source, files, labels)
    writer.index['classes'] = about.classes
    first = _first_bvh(source, files)
    skeleton = read_layout(layout) if layout else _layout_of(first)
    writer.describe(skeleton, 3, 'unit of the BVH files' if kinds == {True} and scale is None else 'm',
                    fps=fps)
    import_files(source, files, _Recordings(source, skeleton, fps, scale, about, first), writer, jobs)
    about.report_lost(writer)
    if not given_splits(writer):
        subjects = {sample['subject'] for sample in writer.samples}
        if None not in subjects and len({subject % 2 for subject in subjects}) == 2:
            odd_even_subjects(writer)
        else:
            set_splits(writer, test_share, seed)


class _Recordings:
    """Reads the motion of a file as a sample."""

    def __init__(self, source: Source, layout: SkeletonLayout, fps: float, scale: float | None, about: Labels,
                 first: tuple[str, Motion] | None):
        self.source, self.layout, self.fps, self.scale, self.about = source, layout, fps, scale, about
        self.first = None if first is None else (first[0], first[1].positions[:100])
        self.asf = source.files('.asf')

    def __call__(self, name: str, data: bytes) -> list[dict]:
        bvh = _is_bvh(self.source, name)
        if bvh:
            motion, metres = read_bvh(_text(data), self.fps), 1.
        else:
            skeleton = _skeleton(self.source.path, _asf_of(name, self.asf))
            motion, metres = read_amc(_text(data), skeleton), skeleton.metres
        positions = motion.positions[:, _joints(motion, self.layout, bvh)]
        if bvh and self.first:  # a BVH file does not state its unit
            check_size(positions, self.first[1], self.first[0])
        keypoints = resample(positions, motion.rate or RATE, self.fps) * ((self.scale or metres) / metres)
        subject = re.fullmatch(r'(?:.*/)?(\d{1,4})_\d+', self.about.names[name])
        known = dict(subject=int(subject[1])) if subject else {}
        return [dict(name=self.about.names[name], keypoints=keypoints[None]) | known | self.about.of(name)]


def _is_bvh(source: Source, name: str) -> bool:
    return (source.path if name == '.' else name).lower().endswith('.bvh')


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ValueError(f'it has {len(data) >> 20} MiB')
    return any_text(data)


@lru_cache(maxsize=4)
def _skeleton(path: str, asf: str) -> Acclaim:
    """Read an .asf file. Recordings of a subject share it, so each process caches the last few."""
    try:
        return read_asf(_text(Source(path).read(asf)))
    except ValueError as error:
        raise ValueError(f'{PurePosixPath(asf).name}: {error}') from error


def _asf_of(name: str, files: Sequence[str]) -> str:
    beside = [asf for asf in files if PurePosixPath(asf).parent == PurePosixPath(name).parent]
    if not beside:
        raise ValueError('no .asf file in its folder')
    fitting = [asf for asf in beside if stem(name).startswith(stem(asf))]
    if not fitting and len(beside) > 1:
        raise ValueError('its name does not begin with the name of an .asf file in its folder')
    return max(fitting or beside, key=lambda asf: len(stem(asf)))


def _first_bvh(source: Source, files: Sequence[str]) -> tuple[str, Motion] | None:
    """Return the first readable BVH file and its motion. None if the first file is an .amc file."""
    if not _is_bvh(source, files[0]):
        return None
    first = ''
    for name in files:
        try:
            return source.called(name), read_bvh(_text(source.read(name)))
        except ValueError as error:
            first = first or f'{source.called(name)}: {error}'
    raise UserError(f'{source.path}: no readable file; {first}')


def _layout_of(first: tuple[str, Motion] | None) -> SkeletonLayout:
    """Return cmu31, or the layout derived from the joint names of the first BVH file."""
    if first is None or set(BVH_JOINTS.values()) <= set(first[1].names):
        return LAYOUTS['cmu31']
    return get_layout(layout_of_motion(first[1], first[0]))


def _joints(motion: Motion, layout: SkeletonLayout, bvh: bool) -> list[int]:
    wanted = dict(zip(layout.joints, layout.joints, strict=True))
    if layout == LAYOUTS['cmu31']:
        wanted = BVH_JOINTS if bvh else ASF_BONES
    names = {name: i for i, name in enumerate(motion.names)}
    lost = [wanted[joint] for joint in layout.joints if wanted[joint] not in names]
    if lost:
        raise ValueError(f'layout {layout.name}: the file has no joint {lost[0]!r}'
                         + (f' and {len(lost) - 1} others' if lost[1:] else ''))
    return [names[wanted[joint]] for joint in layout.joints]
