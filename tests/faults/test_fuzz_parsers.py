"""Runs the coverage-guided fuzzer for a few seconds per parser; tests/faults/fuzz_parsers.py can run for any time."""
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import MODEL, save

from mmskelssl.datasets.toy.raw import skeleton_text, write_raw

BVH = """HIERARCHY
ROOT Hips
{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest { OFFSET 0 1 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site { OFFSET 0 1 0 } } }
MOTION
Frames: 2
Frame Time: 0.0333
0 1 0 10 20 30 5 6 7
0 1 0 11 21 31 5 6 7
"""


INDEX = json.dumps(dict(
    version=2, layout='kinect20', channels=3, units='m', classes=['a'], sha256='', splits=dict(train=['x', 'y']),
    samples=[dict(id='x', offset=0, persons=1, frames=2, label=0, subject=None),
             dict(id='y', offset=2, persons=2, frames=3, label=None, subject=4)],
    provenance=dict(skipped=[dict(id='z', reason='empty')])))


def seed_of(parser: str, folder: Path) -> str | bytes:
    if parser == 'pickle':
        keypoint = np.ones((1, 2, 3, 3), np.float32)
        return pickle.dumps(dict(split=dict(a=['x']), annotations=[dict(frame_dir='x', keypoint=keypoint, label=1)]), 4)
    if parser == 'description':
        return json.dumps(MODEL)
    if parser in ('checkpoint', 'zipped'):
        data = io.BytesIO()
        made = dict(state_dict=dict(a=torch.ones(2, 4), b=torch.ones(3).long()), meta=dict(epoch=1, iter=2, x=[1.]))
        torch.save(made, data, _use_new_zipfile_serialization=parser == 'zipped')
        return zipfile.ZipFile(data).read('archive/data.pkl') if parser == 'zipped' else data.getvalue()
    if parser == 'ntu':
        return skeleton_text(np.random.default_rng(0).normal(3, .1, (2, 2, 25, 3)))
    if parser == 'bvh':
        return BVH
    if parser == 'index':
        return INDEX
    write_raw('cmu', str(folder / 'raw'), num_samples=1)
    asf, amc = (next((folder / 'raw').rglob(f'*.{kind}')).read_text() for kind in ('asf', 'amc'))
    return asf + '\0' + '\n'.join(amc.splitlines()[:70])


@pytest.mark.slow
@pytest.mark.parametrize('parser', ['ntu', 'asf', 'bvh', 'index', 'pickle', 'checkpoint', 'zipped', 'description'])
def test_no_file_breaks_a_parser(parser, tmp_path):
    pytest.importorskip('atheris', reason='atheris is not installed')
    (tmp_path / 'corpus').mkdir()
    seed = seed_of(parser, tmp_path)
    (tmp_path / 'corpus' / 'seed').write_bytes(seed if isinstance(seed, bytes) else seed.encode())
    if parser == 'checkpoint':  # in the other format too
        save(tmp_path / 'corpus' / 'zip')
    done = subprocess.run([
        sys.executable, Path(__file__).with_name('fuzz_parsers.py'), parser, str(tmp_path / 'corpus'),
        '-max_total_time=4', f'-artifact_prefix={tmp_path}/'], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = int(done.stderr.rsplit('Done ', 1)[1].split()[0])
    assert runs > 20, 'it has run at all'
