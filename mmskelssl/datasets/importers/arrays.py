"""Imports custom arrays: a folder or zip of npy, npz, csv or json files, or a single npz with all clips."""
import os.path as osp
from pathlib import PurePosixPath
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.array_files import clips_in
from mmskelssl.datasets.importers.axes import check_axes
from mmskelssl.datasets.importers.import_files import add_or_skip, import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, is_table, name_classes, set_splits
from mmskelssl.datasets.importers.options import Jobs, LabelSource, Layout, SplitSeed, TestShare, ThirdNumber
from mmskelssl.datasets.importers.pose.skeletons import layout_for
from mmskelssl.datasets.importers.source import Source, evenly
from mmskelssl.datasets.importers.third import PIXELS, Third, check_size, said, third_number, units_of
from mmskelssl.datasets.importers.train_test import TrainTest, is_train_test
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, read_layout

Axes = Annotated[str | None, (
    'Order of the axes of arrays: N clips, M persons, T frames, V joints, C coordinates, such as NTVC; default TVC, '
    'and MTVC for one or two persons')]

SCORED = 16  # number of files to search for scores if the first one has none


def import_arrays(path: str, writer: StoreWriter, *, layout: Layout, axes: Axes = None, third: ThirdNumber = None,
                  units: Annotated[str | None, 'Units of the coordinates; default m, in 2D px, or relative for numbers '
                                               'from 0 to 1'] = None,
                  labels: LabelSource = 'auto', test_share: TestShare = None, seed: SplitSeed = 0,
                  jobs: Jobs = None) -> None:
    """Custom clips, (T, V, C) or (M, T, V, C): a folder or zip of npy, npz, csv or json files, or one npz.

    A table (csv, tsv) has a line per frame, or per frame and joint, and a header that names the columns (nose_x,
    nose_y, ...; or frame, joint, x, y). Without a header it has V * C numbers per line. A json file has nested
    lists or a dict with "keypoints". An npz file holds one clip per key, or "keypoints" (N, [M,] T, V, C) with
    "scores" (N, [M,] T, V), "labels", "subjects", "ids" if known, or "x_train", "y_train", "x_test", "y_test" as for
    CTR-GCN and similar (NTU60_CS.npz).
    """
    check_share(test_share)
    try:
        check_axes(axes)
    except ValueError as error:
        raise UserError(str(error)) from None
    source, skeleton = Source(path), read_layout(layout)
    files = [name for name in source.files('.npy', '.npz', '.csv', '.tsv', '.json')
             if not is_table(name)]
    if not files:
        raise UserError(f'{path}: no .npy, .npz, .csv or .json files in it')
    about = Labels(source, files, labels)
    writer.index['classes'] = about.classes
    read = _Clips(source, skeleton, axes, third, about, labels)
    stream = _stream(path, skeleton)
    read.first, read.meaning, points = read.look(files, stream)
    channels = points.shape[-1] - (read.meaning != 'depth' and points.shape[-1] == 3)
    read.channels = channels
    by_number = points.shape[-1] == 3 and read.meaning == 'score'
    scored = by_number or read.apart
    if not scored and channels == 2 and third is None:
        scored = by_number = read.others_have_scores(files)
    read.scored = scored
    metres = channels > 2 and np.max(np.abs(points), where=np.isfinite(points), initial=0) < PIXELS
    writer.describe(skeleton, channels, units or (
        units_of(points[..., :2]) if channels == 2 else 'm' if metres else 'unknown'), scored,
                    said(read.meaning) if points.shape[-1] == 3 else 'score' if by_number else 'none')
    if read.first and points.shape[-1] == 3:
        print(f'{path}: the third number of a joint is read as its {read.meaning} (--third)'.replace(
            'read as its drop', 'dropped'))
    if stream is None:
        import_files(source, files, read, writer, jobs)
    else:
        read.add_all(stream, writer)
    about.report_lost(writer)
    name_classes(writer)
    set_splits(writer, test_share, seed)


def _stream(path: str, layout: SkeletonLayout) -> TrainTest | None:
    """Open a single file that has to be read clip by clip."""
    if not (osp.isfile(path) and path.lower().endswith('.npz') and is_train_test(path)):
        return None
    try:
        return TrainTest(path, osp.basename(path), layout.num_joints)
    except ValueError as error:
        raise UserError(f'{path}: {error}') from error


class _Clips:
    """Reads the clips of a file and looks up their labels."""

    def __init__(self, source: Source, layout: SkeletonLayout, axes: str | None, third: Third | None, about: Labels,
                 labels: str):
        self.source, self.layout, self.axes, self.third, self.about, self.labels = (source, layout, axes, third, about,
                                                                                   labels)
        self.first, self.channels, self.scored, self.apart = '', 0, False, False
        self.meaning: Third = third or 'depth'
        self.like: np.ndarray | None = None  # the first clip

    def look(self, files: list[str], stream: TrainTest | None = None) -> tuple[str, Third, np.ndarray]:
        """Return the first file with a body, the meaning of the third number, and a clip.

        If no clip shows a body, they are those of the first readable file, or '' and zeros (T,V,3).
        """
        blank: tuple[str, np.ndarray] | None = None
        for name in files[:200]:
            try:
                clips = stream.start() if stream else clips_in(self.source.called(name), self.source.read(name),
                                                               self.layout.num_joints, self.axes)
                with np.errstate(over='ignore'):  # overflow counts as missing
                    _, clip, known = next((one for one in clips if np.any(one[1])), clips[0])
                    clip = np.asarray(clip, np.float32)
            except Exception:  # noqa: BLE001, S112  its import reports the reason
                continue
            if not clip.any():
                blank = blank or (self.source.called(name), clip)
                continue
            self.like, self.apart = clip, 'scores' in known
            name = self.source.called(name)
            if len(clip) == 2 and not self.axes and name.lower().endswith(('.npy', '.json')):
                print(f'{name}: shape {clip.shape} is read as 2 persons of {clip.shape[1]} frames (--axes NTVC: 2 '
                      'clips)')
            try:
                return name, self._meaning(clip, 'depth' in known), clip
            except ValueError as found:
                raise UserError(f'{self.source.path}: {name}: {found}') from None
        name, clip = blank or ('', np.zeros((1, self.layout.num_joints, 3)))
        return name, 'depth', clip

    def others_have_scores(self, files: list[str]) -> bool:
        """Return whether a clip of a few other files, evenly spaced over all, has scores."""
        for name in evenly(files, SCORED):
            try:
                _, clip, known = clips_in(self.source.called(name), self.source.read(name), self.layout.num_joints,
                                          self.axes)[0]
                if 'scores' in known or clip.shape[-1] == 3 and self._meaning(
                        clip, 'depth' in known) == 'score':
                    return True
            except Exception:  # noqa: BLE001, S112  its import reports the reason
                continue
        return False

    def _meaning(self, clip: np.ndarray, deep: bool = False) -> Third:
        if deep and not self.third:
            return 'depth'
        return third_number(clip, self.layout, self.third) if clip.shape[-1] == 3 else self.third or 'depth'

    def __call__(self, name: str, data: bytes) -> list[dict]:
        return self._samples(name, clips_in(self.source.called(name), data, self.layout.num_joints, self.axes))

    def add_all(self, stream: TrainTest, writer: StoreWriter) -> None:
        """Add the clips of a file that is too large for memory."""
        from rich.progress import track  # imported here: help texts do not need it
        try:
            for clip in track(stream, 'importing', total=len(stream), disable=len(stream) < 5000):
                for sample in self._samples('.', [clip]):
                    add_or_skip(writer, **sample)
        except ValueError as error:
            raise UserError(f'{self.source.path}: {error}') from error

    def _samples(self, name: str, clips: list[tuple[str, np.ndarray, dict]]) -> list[dict]:
        own = '' if name == '.' else PurePosixPath(name).with_suffix('').as_posix()
        samples = []
        for key, clip, about in clips:
            identifier = '/'.join(part for part in (own, key) if part) or 'clip'
            known = self.about.of(name, key) if self.about.table else {}
            apart = about.pop('scores', None)
            joints = about.pop('joints', ())
            keypoints, scores = self._coordinates(clip, about.pop('depth', False))
            scores = apart if scores is None else scores
            order = layout_for(len(joints), joints, {}, self.layout)[1] if joints else None
            if order:
                keypoints, scores = keypoints[:, :, order], None if scores is None else scores[:, :, order]
            left = '' if scores is None or self.scored else f'its scores are dropped, because {self.first} has none'
            note = '; '.join(filter(None, [known.pop('note', ''), about.pop('note', ''), left]))
            if self.labels == 'none':
                about = {what: value for what, value in about.items() if what not in ('label', 'action')}
            if 'label' in known or 'label' not in about and self.about.classes:
                about.pop('action', None)
            samples.append(dict(name=identifier, keypoints=keypoints, scores=scores if self.scored else None,
                                note=note) | about | known)
        return samples

    def _coordinates(self, clip: np.ndarray, deep: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return coordinates (M, T, V, C), and scores (M, T, V) if the third number is a score.

        Args:
            clip: As read.
            deep: Whether the file says that the third number is z.
        """
        count, scores = clip.shape[-1], None
        if count == 3 and self.channels == 2:
            third = self._meaning(clip, deep)
            if third == 'depth':
                raise ValueError(f'its third number is a depth, which the joints of {self.first} do not have: import '
                                 'them separately, or set --third')
            if third == 'score':
                clip, scores = np.where(clip[..., 2:] > 0, clip, 0), clip[..., 2]
            clip = clip[..., :2]
        if clip.shape[-1] != self.channels:
            raise ValueError(f'{count} numbers per joint, but {self.first} has {self.channels}: import them '
                             'separately')
        if count == 3 and self.channels == 3 and self._meaning(clip, deep) == 'score':
            raise ValueError(f'its third number is a score, but that of {self.first} is a depth: import them '
                             'separately, or set --third')
        if self.like is not None:
            check_size(clip, self.like[..., :self.channels], self.first)
        return clip, scores
