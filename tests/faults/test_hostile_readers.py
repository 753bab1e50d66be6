"""Files that two readers see differently, and small files that take much time or memory."""
import io
import json
import os
import struct
import zipfile
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from hostile import DATASET, MODEL, PIPELINE, save
from test_hostile_descriptions import dig
from test_hostile_files import bounded

from mmskelssl.apis import FeatureExtractor
from mmskelssl.commands.benchmark_runs import _read
from mmskelssl.datasets.importers.pose.values import last_number
from mmskelssl.datasets.importers.table import read_table
from mmskelssl.datasets.importers.table_clips import table_clips
from mmskelssl.datasets.importers.utd import read_mat
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.rebuild import build_model, build_pipeline
from mmskelssl.engine.work_dir import read_manifest
from mmskelssl.errors import LONGEST_MESSAGE, UserError
from mmskelssl.evaluation.scores import load_scores
from mmskelssl.layouts.library import read_layout
from mmskelssl.npz import read_npz
from mmskelssl.visualization.curves import read_scalars


def entries(value) -> dict[str, bytes]:
    """The entries of a saved checkpoint, without their folder."""
    data = io.BytesIO()
    torch.save(dict(state_dict=value), data)
    with zipfile.ZipFile(data) as archive:
        return {name.partition('/')[2]: archive.read(name) for name in archive.namelist()}


def two_tables(order: str) -> bytes:
    """A zip with one table of contents for Python and another one for torch."""
    shown = entries(dict(a=torch.zeros(2)))
    hidden = entries(dict(a=torch.sparse_coo_tensor([[0]], [1.], (1 << 40,), check_invariants=False)))
    out = io.BytesIO()

    def local(name: str, data: bytes) -> tuple[bytes, int, int, int]:
        start, name, crc = out.tell(), f'x/{name}'.encode(), zlib.crc32(data)
        out.write(struct.pack('<4s5H3I2H', b'PK\3\4', 20, 0, 0, 0, 0, crc, len(data), len(data), len(name), 0))
        out.write(name + data)
        return name, crc, len(data), start

    def table(rows, shift: int = 0) -> bytes:
        return b''.join(struct.pack('<4s6H3I5H2I', b'PK\1\2', 20, 20, 0, 0, 0, 0, crc, size, size, len(name), 0, 0, 0,
                                    0, 0, start - shift) + name for name, crc, size, start in rows)

    def end(count: int, length: int, start: int, comment: int = 0) -> bytes:
        return struct.pack('<4s4H2IH', b'PK\5\6', 0, 0, count, count, length, start, comment)

    rest = [(name, data) for name, data in hidden.items() if name != 'data.pkl']
    if order == 'before':  # torch's table first, Python's directly before the end
        for_torch = [local('data.pkl', hidden['data.pkl']), *(local(*item) for item in rest)]
        place = out.tell()
        out.write(table(for_torch))
        for_python = [local('data.pkl', shown['data.pkl']), *(local(*item) for item in rest)]
        shift = out.tell() - place
        out.write(table(for_python, shift) + end(len(for_torch), len(table(for_torch)), place))
    else:  # torch's table in the comment
        common = [local(*item) for item in rest]
        for_python = [local('data.pkl', shown['data.pkl']), *common]
        for_torch = [local('data.pkl', hidden['data.pkl']), *common]
        length = len(table(for_torch))
        place = out.tell() + length + 22
        out.write(table(for_python, out.tell() - place) + end(len(for_torch), length, place, length))
        out.write(table(for_torch))
    return out.getvalue()


def two_cases() -> bytes:
    """A zip in which torch takes one of two names that differ in case."""
    shown, out = entries(dict(a=torch.zeros(2))), io.BytesIO()
    with zipfile.ZipFile(out, 'w') as archive:
        archive.writestr('x/data.pkl', shown['data.pkl'])
        archive.writestr('x/DATA.PKL', entries(dict(a=torch.zeros(2), hidden=torch.zeros(2)))['data.pkl'])
        for name, data in shown.items():
            if name != 'data.pkl':
                archive.writestr(f'x/{name}', data)
        archive.writestr('x/data/1', shown['data/0'])
    return out.getvalue()


@pytest.mark.fault('F50', 'checkpoint zips that Python and torch read differently')
@pytest.mark.parametrize('make', [lambda: two_tables('before'), lambda: two_tables('comment'), two_cases,
                                  lambda: b'PK\3\4' + bytes(100), lambda: two_tables('before') + b'trailing'])
def test_zips_with_two_readings(tmp_path, make, lost):
    path = tmp_path / 'a.pth'
    path.write_bytes(make())
    with pytest.raises(UserError, match='a.pth: '):
        load_checkpoint(path)
    lost('nothing')


@pytest.mark.fault('F51', 'descriptions with a hundred thousand parts or names of a million characters')
@pytest.mark.parametrize('keys, value', [
    (('data_preprocessor', 'views', 'first'), [dict(type='Shear')] * 100_000),
    (('data_preprocessor', 'views'), {str(i): [] for i in range(100_000)}),
    (('backbone', 'channels'), {'a' * 1_000_000: [0] * 1000}), (('backbone', 'a' * 1_000_000), 1),
    (('backbone', 'type'), 'a' * 1_000_000), (('backbone', 'layout'), 'a' * 1_000_000),
    (('data_preprocessor', 'views', 'second'), ['a' * 1_000_000])])
def test_descriptions_of_any_size(keys, value, lost):
    with pytest.raises(UserError, match='a.pth: ') as caught:
        build_model(dig(MODEL, *keys, value=value), 'a.pth')
    assert len(str(caught.value)) <= LONGEST_MESSAGE + 3
    lost('nothing')


@pytest.mark.fault('F51', 'descriptions with a hundred thousand parts or names of a million characters')
def test_pipelines_of_any_size(lost):
    with pytest.raises(UserError, match='more than 1,000 parts'):
        build_pipeline(PIPELINE[:1] * 100_000 + PIPELINE, 'a.pth')
    lost('nothing')


def mat(size: int) -> bytes:
    """A .mat file of d_skel (20, 3, 1) whose data announce ``size`` zero bytes, compressed."""
    body = struct.pack('<4I', 6, 8, 6, 0) + struct.pack('<2I4i', 5, 12, 20, 3, 1, 0)
    body += struct.pack('<2I', 1, 6) + b'd_skel\0\0' + struct.pack('<2I', 9, size)
    packed = zlib.compress(struct.pack('<2I', 14, len(body) + size) + body + bytes(size))
    return b'MATLAB 5.0'.ljust(124) + struct.pack('<H', 0x100) + b'IM' + struct.pack('<2I', 15, len(packed)) + packed


@pytest.mark.fault('F52', 'small .mat, .npz, table and JSON files that take gigabytes or minutes')
def test_mat_bombs(lost):
    data = mat(100 << 20)
    with bounded(200), pytest.raises(ValueError, match='unpack to more than'):
        read_mat('a01_s1_t1_skeleton.mat', data)
    lost('nothing')


@pytest.mark.fault('F52', 'small .mat, .npz, table and JSON files that take gigabytes or minutes')
@pytest.mark.parametrize('text', [
    'frame,joint,x,y\n' + '\n'.join(f'{i},j{i},1,2' for i in range(2000)),
    ','.join(f'a{i}_x,a{i}_y' for i in range(2000)) + '\n' + ','.join(['1'] * 4000),
    '_' * 100_000 + '!,b\n1,2'])
def test_tables_of_any_width(text, lost):
    with pytest.raises(ValueError, match='2000 joints|no columns JOINT_x'):
        table_clips(read_table(text), 0, Counter())
    lost('nothing')


@pytest.mark.fault('F52', 'small .mat, .npz, table and JSON files that take gigabytes or minutes')
def test_empty_types_and_endless_names(tmp_path, lost):
    header, data = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, dict(descr='<U0', fortran_order=False, shape=(1 << 40,)))
    with zipfile.ZipFile(data, 'w') as archive:
        archive.writestr('ids.npy', header.getvalue())
        for name, array in dict(scores=np.eye(2, dtype=np.float32), labels=np.arange(2)).items():
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(f'{name}.npy', stream.getvalue())
    (tmp_path / 'a.npz').write_bytes(data.getvalue())
    with pytest.raises(UserError, match='empty type'):
        load_scores(str(tmp_path / 'a.npz'))
    with pytest.raises(ValueError, match='empty type'):
        read_npz(data.getvalue())
    assert set(read_npz(data.getvalue(), ('labels',))) == {'labels'}
    with pytest.raises(ValueError, match='a name of'):
        last_number('a.b' * 100_000 + '!')
    (tmp_path / 'deep.json').write_text('[' * 200_000)
    with pytest.raises(UserError, match='cannot be read'):
        read_layout(str(tmp_path / 'deep.json'))
    lost('nothing')


@pytest.mark.fault('F40', 'links, hard links and pipes instead of caches, locks and unfinished files; a cache '
                          'folder that others own or can write to')
def test_pipes_do_not_block(tmp_path, lost):
    os.mkfifo(tmp_path / 'manifest.json')
    os.mkfifo(tmp_path / 'a.npz')
    assert read_manifest(str(tmp_path)) == {}
    with pytest.raises(UserError, match='not a regular file'):
        load_scores(str(tmp_path / 'a.npz'))
    lost('nothing')


@pytest.mark.fault('F53', 'results.json, scalars.json and layouts with values of any type, or files outside a folder')
@pytest.mark.parametrize('content', [
    '[' * 200_000, '[]', '{}', dict(results=[5]), dict(results=[dict(protocol='knn', scores='../x.npz')]),
    dict(results=[dict(protocol='knn', scores='/x.npz')]), dict(results=[dict(protocol='knn', scores=['x'])]),
    dict(results=[dict(protocol=['knn'])])])
def test_results_that_are_none(tmp_path, content, lost):
    path = tmp_path / 'results.json'
    hashes = dict(config_hash='01', data_hash='02')
    path.write_text(content if isinstance(content, str) else json.dumps({**content, **hashes}))
    with pytest.raises(UserError, match='results.json cannot be read'):
        _read(str(path))
    path.write_text(json.dumps(dict(results=[dict(protocol='knn', scores='scores/a.npz')], **hashes)))
    assert _read(str(path))['results']
    lost('nothing')


@pytest.mark.fault('F53', 'results.json, scalars.json and layouts with values of any type, or files outside a folder')
def test_lines_and_layouts_of_any_type(tmp_path, lost):
    folder = tmp_path / 'now' / 'vis_data'
    folder.mkdir(parents=True)
    lines = ['{"step": 1e400}', '{"step": [1]}', '[' * 200_000, '5', '{"step": 1, "loss": 2.5}']
    (folder / 'scalars.json').write_text('\n'.join(lines))
    assert [*read_scalars(str(tmp_path)).values()] == [dict(loss={1: 2.5})]
    path = save(tmp_path / 'a.pth', dataset={**DATASET, 'layout': dict(joints=['a'] * 2000)})
    with pytest.raises(UserError, match='a.pth: '):
        FeatureExtractor(path)
    lost('nothing')
