"""Coverage-guided fuzzing of the parsers that take foreign files. It needs atheris (pip install atheris).

Examples:
  python tests/faults/fuzz_parsers.py ntu -max_total_time=600
  python tests/faults/fuzz_parsers.py bvh CORPUS_FOLDER
  python tests/faults/fuzz_parsers.py index -max_total_time=300
  python tests/faults/fuzz_parsers.py checkpoint -max_total_time=600
  python tests/faults/fuzz_parsers.py pose SEEDS_FOLDER -max_total_time=600

``pose``, ``table`` and ``yolo`` read files of pose estimators, ``arrays_npz``, ``arrays_npy``, ``arrays_csv`` and
``arrays_json`` files of arrays, and other names the files of that data set. ``pickle`` reads the bytes as an annotation
pickle, ``checkpoint`` as a checkpoint (zip or pickle, as in the corpus), ``zipped`` as the pickle inside one,
``description`` as the JSON that says how to build a model.

Anything but a result or a ValueError is a finding, as is an input that takes more than five seconds or 2 GiB; libFuzzer
(whose options follow the parser's name) leaves it as a file.
"""
import json
import os
import sys
import tempfile
import zipfile
from types import SimpleNamespace

import atheris
import numpy as np
import torch._dynamo  # noqa: F401  building a model imports it, which is not to count as the time of an input

with atheris.instrument_imports(include=[
        'pickle', 'mmskelssl.datasets.importers', 'mmskelssl.datasets.mocap', 'mmskelssl.datasets.store',
        'mmskelssl.layouts', 'mmskelssl.plain_pickle', 'mmskelssl.engine.checkpoint',
        'mmskelssl.engine.checkpoint_file', 'mmskelssl.engine.checkpoint_schema', 'mmskelssl.engine.unpickle',
        'mmskelssl.engine.allow_list', 'mmskelssl.engine.rebuild']):
    from mmskelssl.datasets.importers import amass as amass_files
    from mmskelssl.datasets.importers import h36m as h36m_files
    from mmskelssl.datasets.importers.array_files import clips_in
    from mmskelssl.datasets.importers.bandai import _read_npz as read_bandai
    from mmskelssl.datasets.importers.dhg import read_gesture
    from mmskelssl.datasets.importers.florence import import_florence
    from mmskelssl.datasets.importers.labels import label_table
    from mmskelssl.datasets.importers.markers import read_c3d, read_trc
    from mmskelssl.datasets.importers.msr import read_text as read_msr
    from mmskelssl.datasets.importers.ntu import by_energy, in_file_order, parse_skeleton
    from mmskelssl.datasets.importers.nwucla import read_json as read_nwucla
    from mmskelssl.datasets.importers.pkummd import cut, read_frames
    from mmskelssl.datasets.importers.pose.contract import Options
    from mmskelssl.datasets.importers.pose.recognise import recognise
    from mmskelssl.datasets.importers.restricted_pickle import load_pickle
    from mmskelssl.datasets.importers.sbu import read_positions
    from mmskelssl.datasets.importers.uavhuman import read_file as read_uavhuman
    from mmskelssl.datasets.importers.utd import read_mat
    from mmskelssl.datasets.importers.utkinect import read_labels, read_recording
    from mmskelssl.datasets.mocap.asf_amc import read_amc, read_asf
    from mmskelssl.datasets.mocap.bvh import read_bvh
    from mmskelssl.datasets.store.columns import index_columns
    from mmskelssl.datasets.store.schema import SHARDS, parse_index
    from mmskelssl.datasets.store.shards import Shards
    from mmskelssl.datasets.store.writer import StoreWriter
    from mmskelssl.engine.checkpoint import load_checkpoint
    from mmskelssl.engine.rebuild import build_model


def ntu(text: str) -> None:
    """Parse an NTU file with both selections of persons."""
    frames = parse_skeleton(text)
    in_file_order(frames)
    by_energy(frames)


def asf(text: str) -> None:
    """Parse a skeleton file and its motion file, separated by a zero byte."""
    skeleton, _, motion = text.partition('\0')
    read_amc(motion, read_asf(skeleton))


def pkummd(text: str) -> None:
    """Parse a recording and its labels, separated by a zero byte."""
    recording, _, labels = text.partition('\0')
    cut('0002-L', read_frames(recording), labels)


def utkinect(text: str) -> None:
    """Parse labels and a recording, separated by a zero byte."""
    labels, _, recording = text.partition('\0')
    read_recording(read_labels(labels)[0], 'joints_s01_e01.txt', recording.encode('utf-8', 'surrogatepass'))


def labels(data: bytes) -> None:
    """Parse a table of labels."""
    with open(f'{_FILE}.csv', 'wb') as file:
        file.write(data)
    label_table(None, ['a', 'b'], f'{_FILE}.csv')


def h36m(data: bytes) -> None:
    """Parse an archive of Human3.6M."""
    member, content, _ = h36m_files._read(data)
    for *_, array in h36m_files._clips(content):
        h36m_files._keypoints(array, member == 'positions_2d')


def florence(data: bytes) -> None:
    """Import a file of Florence 3D Actions."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'Florence_dataset_WorldCoordinates.txt')
        with open(path, 'wb') as file:
            file.write(data)
        with StoreWriter(os.path.join(folder, 'store')) as writer:
            import_florence(path, writer)


def amass(data: bytes) -> None:
    """Read a motion of AMASS with a body of unit bones."""
    amass_files._model = lambda _: BODY
    amass_files._Motions('', 30., SimpleNamespace(names={'a.npz': 'a'}, of=lambda name: {}))('a.npz', data)


def index(text: str) -> None:
    """The index of a store; its columns, or its shards, follow without a further check."""
    found = parse_index(text.encode('utf-8', 'surrogatepass'), 'index.json')
    if 'shards' in found and found.get('version', 1) >= SHARDS:
        Shards('store', found, None, complete=False)  # type: ignore[arg-type]
    else:
        index_columns(found)


_FOLDER = tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None)  # removed at the end
_FILE = os.path.join(_FOLDER.name, 'fuzzed')


def pickled(data: bytes) -> None:
    """Parse an annotation pickle."""
    with open(_FILE, 'wb') as file:
        file.write(data)
    load_pickle(_FILE)


def checkpoint(data: bytes) -> None:
    """Parse a checkpoint in either format."""
    with open(_FILE, 'wb') as file:
        file.write(data)
    load_checkpoint(_FILE)


def zipped(data: bytes) -> None:
    """Parse the pickle of a checkpoint in a valid zip, so that mutations do not have to guess its checksum."""
    with zipfile.ZipFile(_FILE, 'w') as archive:
        archive.writestr('a/data.pkl', data)
        for i in range(4):
            archive.writestr(f'a/data/{i}', bytes(64))
    load_checkpoint(_FILE)


def description(data: bytes) -> None:
    """Build a model from JSON."""
    try:
        config = json.loads(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError('no JSON') from error
    build_model(config, 'fuzzed')


BODY = np.eye(22, 3), np.zeros((22, 3, 4)), np.arange(-1, 21).clip(0)
TEXTS = dict(ntu=ntu, asf=asf, bvh=read_bvh, index=index, trc=read_trc, pkummd=pkummd, utkinect=utkinect)
BYTES = dict(
    pickle=pickled, checkpoint=checkpoint, zipped=zipped, description=description, labels=labels, h36m=h36m,
    bandai=read_bandai, florence=florence, amass=amass, c3d=read_c3d,
    pose=lambda data: recognise('v.json', data, Options()),
    table=lambda data: recognise('v.csv', data, Options(joints=data[-1:] == b'\n' and 17 or 0)),
    yolo=lambda data: recognise('v.txt', data, Options()),
    dhg=lambda data: read_gesture('gesture_1/finger_1/subject_1/essai_1/skeleton_world.txt', data, {}),
    uavhuman=lambda data: read_uavhuman('P001S00G10B10H10UC022000LC021000A000R0_08241716.txt', data),
    utd=lambda data: read_mat('a1_s1_t1_skeleton.mat', data),
    msr=lambda data: read_msr('a01_s01_e01_skeleton3D.txt', data),
    nwucla=lambda data: read_nwucla('a01_s01_e00_v01.json', data),
    sbu=lambda data: read_positions('s01s02/01/001/skeleton_pos.txt', data),
    **{f'arrays_{ending}': lambda data, ending=ending: clips_in(f'a.{ending}', data, 20)
       for ending in ('npz', 'npy', 'csv', 'json')})


def main() -> None:
    name, *options = sys.argv[1:]

    def one(data: bytes) -> None:
        try:
            TEXTS[name](data.decode('utf-8', 'replace')) if name in TEXTS else BYTES[name](data)
        except ValueError:
            pass

    limits = ['-timeout=5', '-rss_limit_mb=2048', '-max_len=65536']
    atheris.Setup([sys.argv[0], *limits, *options], one)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
