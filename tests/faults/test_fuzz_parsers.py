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


PARSERS = ['ntu', 'asf', 'bvh', 'index', 'pickle', 'checkpoint', 'zipped', 'description']
# Importing and instrumenting the package takes longer than fuzzing a parser, so the fuzzers are forked one by one.
FORKS = """
import os, sys
import fuzz_parsers
folder, *parsers = sys.argv[1:]
for parser in parsers:
    child = os.fork()
    if not child:
        fuzz_parsers._FOLDER._finalizer.detach()  # the next one needs it too
        log = os.open(f'{folder}/{parser}.log', os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.argv = ['fuzz_parsers.py', parser, f'{folder}/{parser}', '-max_total_time=3',
                    f'-artifact_prefix={folder}/{parser}-']
        fuzz_parsers.main()
    print(parser, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope='module')
def fuzzed(tmp_path_factory) -> dict[str, tuple[int, str]]:
    """The exit status and the output of the fuzzer of each parser."""
    pytest.importorskip('atheris', reason='atheris is not installed')
    folder = tmp_path_factory.mktemp('fuzzed')
    for parser in PARSERS:
        (folder / parser).mkdir()
        seed = seed_of(parser, folder)
        (folder / parser / 'seed').write_bytes(seed if isinstance(seed, bytes) else seed.encode())
    save(folder / 'checkpoint' / 'zip')  # in the other format too
    done = subprocess.run([sys.executable, '-c', FORKS, str(folder), *PARSERS], cwd=Path(__file__).parent,
                          capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return {parser: (int(status), (folder / f'{parser}.log').read_text(errors='replace'))
            for parser, status in map(str.split, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize('parser', PARSERS)
def test_no_file_breaks_a_parser(fuzzed, parser):
    status, output = fuzzed[parser]
    assert status == 0, output[-3000:]
    runs = int(output.rsplit('Done ', 1)[1].split()[0])
    assert runs > 20, 'it has run at all'
