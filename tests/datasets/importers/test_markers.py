"""Markers: TRC and C3D files are read back in metres, y up. Missing markers are reported in one line."""
import json
import subprocess
import sys

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS, markers
from mmskelssl.errors import UserError

T, NAMES = 6, ['RKNE', 'C7', 'LSHO', 'RSHO']
POINTS = np.random.default_rng(0).uniform(100, 900, (T, 4, 3)).round(3)
LAYOUT = dict(name='torso', joints=['C7', 'LSHO', 'RSHO'], parents=[0, 0, 0], hip=0, shoulders=[1, 2], pairs=[[1, 2]])


def trc(points=POINTS, units='mm', names=NAMES, rate=60):
    rows = [[str(i + 1), f'{i / rate:.5f}', *('' if np.isnan(v) else f'{v:g}' for v in frame.ravel())]
            for i, frame in enumerate(points)]
    head = ['PathFileType\t4\t(X/Y/Z)\tx.trc',
            'DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames',
            f'{rate}\t{rate}\t{len(points)}\t{len(names)}\t{units}\t{rate}\t1\t{len(points)}',
            'Frame#\tTime\t' + '\t\t\t'.join(names) + '\t\t',
            '\t\t' + '\t'.join(f'{axis}{i + 1}' for i in range(len(names)) for axis in 'XYZ'), '']
    return '\n'.join(head + ['\t'.join(row) for row in rows]) + '\n'


def load(tmp_path, files, layout=None, **options):
    raw = tmp_path / 'raw'
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (raw / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / 'torso.json').write_text(json.dumps(layout or LAYOUT))
    with StoreWriter(tmp_path / 's', overwrite=True) as writer:
        IMPORTERS['markers'](str(raw), writer, layout=str(tmp_path / 'torso.json'), **options)
    return SkeletonStore(tmp_path / 's')


def entries(store, kind):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][kind]}


def test_trc(tmp_path):
    store = load(tmp_path, {'a.trc': trc(), 'm.trc': trc(POINTS / 1000, 'm')}, fps=0)
    assert store.layout.name == 'torso' and store.head['units'] == 'm' and store.head['third'] == 'depth'
    np.testing.assert_allclose(store.keypoints(0)[0], POINTS[:, 1:] / 1000, rtol=1e-6)
    np.testing.assert_allclose(store.keypoints(1)[0], POINTS[:, 1:] / 1000, rtol=1e-6)
    assert entries(store, 'noted')['a'] == '1 markers dropped that are not in the layout'
    half = load(tmp_path, {}, up='z')  # 60 frames per second to 30
    expected = POINTS[::2, 1:] / 1000
    np.testing.assert_allclose(half.keypoints(0)[0], expected[..., [0, 2, 1]] * (1, 1, -1), rtol=1e-6)


def test_gaps_are_filled_and_reach_no_neighbour(tmp_path):
    """Every second of 60 frames per second is kept, including the frame before a gap."""
    points = POINTS.copy()
    points[3, 2] = points[4, 1] = np.nan
    store = load(tmp_path, {'a.trc': trc(points)})
    expected = POINTS[::2, 1:].copy() / 1000
    expected[2, 0] = expected[1, 0]  # frame 4 of C7: held
    np.testing.assert_allclose(store.keypoints(0)[0], expected, rtol=1e-6)
    assert '1 of 9 joint positions' in entries(store, 'repaired')['a']


@pytest.mark.parametrize('text, reason', [
    ('hello', 'does not begin with PathFileType'), (trc(units='feet'), "line 3: units 'feet'"),
    (trc(names=['A', 'A', 'LSHO', 'RSHO']), 'line 4: 4 names of markers, 3 different'),
    (trc() + '7\t0.1\tx\n', 'line 13: could not convert'), (trc() + '7\t0.1\t1\n', '7 frames, but its header states 6'),
    (trc() + '7\t0.1' + '\t1' * 13 + '\n', 'line 13: 13 coordinates, expected 12'),
    (trc(names=['RKNE', 'X', 'LSHO', 'RSHO']), 'no marker C7; it has RKNE, X, LSHO, RSHO'),
    (trc().replace('60\t60', 'x\t60', 1), "frame rate 'x' is not a number")],
    ids=['text', 'units', 'twice', 'word', 'more', 'wide', 'lacks', 'rate'])
def test_damaged_trc(tmp_path, text, reason):
    store = load(tmp_path, {'good.trc': trc(), 'bad.trc': text})
    assert store.ids == ['good'] and reason in entries(store, 'skipped')['bad.trc']


def test_c3d(tmp_path):
    ezc3d = pytest.importorskip('ezc3d')
    content = ezc3d.c3d()
    content['parameters']['POINT']['RATE']['value'] = [30]
    content['parameters']['POINT']['UNITS']['value'] = ['mm']
    content['parameters']['POINT']['LABELS']['value'] = tuple(NAMES)
    points = np.ones((4, 4, T))
    points[:3] = POINTS.transpose(2, 1, 0)
    points[:3, 2, 3] = np.nan
    content['data']['points'] = points
    content.write(str(tmp_path / 'x.c3d'))
    store = load(tmp_path, {'a.c3d': (tmp_path / 'x.c3d').read_bytes(), 'bad.c3d': b'no c3d' * 200}, up='z')
    expected = POINTS[:, 1:] / 1000
    expected[3, 1] = (expected[2, 1] + expected[4, 1]) / 2
    np.testing.assert_allclose(store.keypoints(0)[0], expected[..., [0, 2, 1]] * (1, 1, -1), rtol=1e-5)
    assert store.ids == ['a'] and 'ezc3d cannot read it' in entries(store, 'skipped')['bad.c3d']


def test_a_c3d_file_that_ezc3d_does_not_finish_is_given_up(monkeypatch):
    monkeypatch.setattr(markers, '_READ_C3D', 'import time; time.sleep(60)')
    run = subprocess.run
    monkeypatch.setattr(subprocess, 'run', lambda *args, timeout, **rest: run(*args, timeout=timeout / 100, **rest))
    with pytest.raises(ValueError, match='ezc3d did not finish reading it'):
        markers.read_c3d(b'x')


def test_without_ezc3d_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ezc3d', None)
    with pytest.raises(UserError, match=r'\.c3d files need ezc3d: pip install ezc3d'):
        load(tmp_path, {'a.c3d': b'x'})
    assert len(load(tmp_path / 'trc', {'a.trc': trc()})) == 1
