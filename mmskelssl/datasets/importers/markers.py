"""Marker tracks: TRC text tables, and C3D files read with ezc3d."""
import importlib.util
import os.path as osp
import subprocess
import sys
import tempfile
from typing import Annotated, Literal, NamedTuple

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, name_classes, set_splits
from mmskelssl.datasets.importers.options import Jobs, LabelSource, Layout, SplitSeed, TestShare
from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.importers.text import any_text
from mmskelssl.datasets.mocap.motion import check_rate, resample
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, read_layout

MAX_NUMBERS = 10_000_000  # coordinates of a text that is shorter than that; lines may leave out the last cells
METRES = dict(mm=1e-3, cm=1e-2, dm=1e-1, m=1.)


class Tracks(NamedTuple):
    """Markers over time.

    Args:
        names: (P,) names of the markers.
        points: (T, P, 3) in metres; NaN where a marker is not seen.
        rate: Frames per second; 0 if not known.
    """
    names: list[str]
    points: np.ndarray
    rate: float


def import_markers(path: str, writer: StoreWriter, *, layout: Layout,
                   up: Annotated[Literal['y', 'z'], 'Axis of the files that points up'] = 'y',
                   fps: Annotated[float, 'Frames per second to resample to; 0 keeps those of the files'] = 30.,
                   labels: LabelSource = 'auto', test_share: TestShare = None, seed: SplitSeed = 0, jobs: Jobs = None
                   ) -> None:
    """Folder or zip of .trc or .c3d files; the joints of the layout have the names of the markers.

    C3D needs ezc3d (pip install ezc3d).
    """
    check_share(test_share)
    if not 0 <= fps <= 1000:
        raise UserError(f'--fps {fps:g} is outside 0..1000')
    source, skeleton = Source(path), read_layout(layout)
    files = source.files('.trc', '.c3d')
    if not files:
        raise UserError(f'{path}: no .trc or .c3d files in it')
    if any(_is_c3d(source, name) for name in files):
        _need_ezc3d()
    about = Labels(source, files, labels)
    writer.index['classes'] = about.classes
    writer.describe(skeleton, third='depth')
    import_files(source, files, _Clips(source, skeleton, up, fps, about), writer, jobs)
    about.report_lost(writer)
    name_classes(writer)
    set_splits(writer, test_share, seed)


def _is_c3d(source: Source, name: str) -> bool:
    return (source.path if name == '.' else name).lower().endswith('.c3d')


class _Clips:
    """Reads the markers of a file as a sample."""

    def __init__(self, source: Source, layout: SkeletonLayout, up: str, fps: float, about: Labels):
        self.source, self.layout, self.up, self.fps, self.about = source, layout, up, fps, about

    def __call__(self, name: str, data: bytes) -> list[dict]:
        tracks = read_c3d(data) if _is_c3d(self.source, name) else read_trc(any_text(data))
        place = {marker: i for i, marker in enumerate(tracks.names)}
        twice = [joint for joint in self.layout.joints if tracks.names.count(joint) > 1]
        if twice:
            raise ValueError(f'the marker {twice[0]} appears twice in it')
        lost = [joint for joint in self.layout.joints if joint not in place]
        if lost:
            raise ValueError(f'no marker {", ".join(lost)[:100]}; it has {", ".join(tracks.names)[:300]}')
        points = tracks.points[:, [place[joint] for joint in self.layout.joints]]
        # 0, 0, 0 also means that a marker is not seen, unless it stands there throughout.
        gone = np.asarray((points == 0).all(-1))
        points = np.where((gone & ~gone.all(0))[..., None], np.nan, points)
        if self.up == 'z':
            points = np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)
        if self.fps and tracks.rate:
            points = resample(points, tracks.rate, self.fps)
        known = self.about.of(name)
        rest = len(tracks.names) - self.layout.num_joints
        notes = [known.pop('note', ''), f'{rest} markers dropped that are not in the layout' if rest else '',
                 'its frame rate is unknown, so all frames are kept' if self.fps and not tracks.rate else '']
        return [dict(name=self.about.names[name], keypoints=points[None], note='; '.join(filter(None, notes))) | known]


def read_trc(text: str) -> Tracks:
    """Read the markers of a TRC file. The ValueError for a damaged file names the line.

    The file has three header lines with the rate and the units, the marker names, a line X1 Y1 Z1 and so on, and a
    line per frame with number, time and coordinates. Tabs separate columns, and an empty cell is a missing marker.
    """
    lines = text.splitlines()
    if len(lines) < 6 or not lines[0].startswith('PathFileType'):
        raise ValueError('not a TRC file: its first line does not begin with PathFileType')
    head = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    unit = head.get('Units', '').lower()
    if unit not in METRES:
        raise ValueError(f'line 3: units {unit[:20]!r}, expected one of {", ".join(METRES)}')
    rate = _rate(head.get('DataRate', '0'))
    names = [cell.strip() for cell in lines[3].split('\t')[2:] if cell.strip()]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f'line 4: {len(names)} names of markers, {len(set(names))} different ones')
    frames: list[list[float]] = []
    for number, line in enumerate(lines[5:], 6):
        if not line.strip():
            continue
        cells = line.split('\t')[2:]
        if 3 * len(names) * (len(frames) + 1) > max(MAX_NUMBERS, len(text)):
            raise ValueError(f'{len(names)} markers in {len(frames) + 1} and more lines, most of them without a number')
        cells += [''] * (3 * len(names) - len(cells))
        if any(cell.strip() for cell in cells[3 * len(names):]):
            raise ValueError(f'line {number}: {len(cells)} coordinates, expected {3 * len(names)} of {len(names)} '
                             'markers')
        try:
            frames.append([float(cell) if cell.strip() else np.nan for cell in cells[:3 * len(names)]])
        except ValueError as error:
            raise ValueError(f'line {number}: {error}') from None
    if not frames:
        raise ValueError('it has no frames')
    stated = head.get('NumFrames', '')
    if stated.isdigit() and int(stated) != len(frames):
        raise ValueError(f'{len(frames)} frames, but its header states {stated}')
    return Tracks(names, np.reshape(frames, (len(frames), len(names), 3)) * METRES[unit], rate)


def read_c3d(data: bytes) -> Tracks:
    """Read the markers of a C3D file. ezc3d trusts sizes in the file, so it runs in a process with limits."""
    with tempfile.TemporaryDirectory() as folder:  # its working directory: no module of the user's folder is imported
        with open(osp.join(folder, 'in.c3d'), 'wb') as file:
            file.write(data)
        limit = str((4 << 30) + 100 * len(data))
        try:
            done = subprocess.run([sys.executable, '-c', _READ_C3D, limit], cwd=folder, capture_output=True, text=True,
                                  timeout=30 + len(data) / 200_000)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f'ezc3d did not finish reading it in {error.timeout:.0f} s') from None
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f'it ended with status {done.returncode}'])[-1]
            raise ValueError(f'ezc3d cannot read it: {reason[:200]}')
        with np.load(osp.join(folder, 'out.npz'), allow_pickle=False) as arrays:
            points, labels, units, rate = (arrays[key] for key in ('points', 'labels', 'units', 'rate'))
    unit = units[0].strip().lower() if len(units) else 'mm'
    if unit not in METRES:
        raise ValueError(f'units {unit[:20]!r}, expected one of {", ".join(METRES)}')
    names = [label.strip() for label in labels.tolist()][:points.shape[1]]
    return Tracks(names, points.transpose(2, 1, 0) * METRES[unit], _rate(str(float(rate))))


_READ_C3D = '''
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
import ezc3d
import numpy as np
content = ezc3d.c3d('in.c3d')
point = content['parameters']['POINT']
np.savez('out.npz', points=content['data']['points'][:3], labels=np.array(point['LABELS']['value'], 'U'),
         units=np.array(point['UNITS']['value'], 'U'), rate=point['RATE']['value'][0])
'''


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise ValueError(f'frame rate {text[:20]!r} is not a number') from None
    return check_rate(rate) if rate else rate  # 0 if it is not known


def _need_ezc3d() -> None:
    if importlib.util.find_spec('ezc3d') is None:
        raise UserError('.c3d files need ezc3d: pip install ezc3d')
