"""Pickles and zips that have false sizes, contain themselves, or contain something other than a checkpoint."""
import io
import pickle
import resource
import struct
import time
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hostile import MODEL, content, save

from mmskelssl.apis import FeatureExtractor
from mmskelssl.commands.export import export_weights
from mmskelssl.commands.official import convert
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.engine.checkpoint import load_backbone, load_checkpoint
from mmskelssl.engine.checkpoint_schema import check_resumable
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError


@contextmanager
def bounded(megabytes=300, seconds=10):
    """Fail if the block takes more memory or time. Memory beyond the bound cannot be allocated."""
    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
    before, start = resource.getrlimit(resource.RLIMIT_AS), time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - start < seconds


def refused(path, read, *words):
    with bounded(), pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and '\n' not in message and len(message) < 1500
    assert 'MemoryError' not in message
    for word in words:
        assert word in message, message


# Opcodes by hand: what no pickler writes.
def op(code: bytes, *parts: bytes) -> bytes:
    return code + b''.join(parts)


def text(value: str) -> bytes:
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def integer(value: int) -> bytes:
    return b'\x8a' + bytes([9]) + value.to_bytes(9, 'little', signed=True)


DTYPE = b'cnumpy\ndtype\n(' + text('f4') + b'\x89\x88tR'
RECONSTRUCT = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\x01btR'


def array(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    return RECONSTRUCT + b'(K\x01(' + shape + b't' + dtype + b'\x89B' + struct.pack('<I', len(data)) + data + b'tb'


def lies() -> dict[str, bytes]:
    start = b'\x80\x03'
    seen = start + b'}q\x01' + text('x') + array(b'K\x04', DTYPE + b'q\x02', b'\0' * 16)
    doubling = b''.join(b'(h' + bytes([i]) + b'h' + bytes([i]) + b'tq' + bytes([i + 1]) for i in range(3, 60))
    return {
        'a dtype that is changed by BUILD after its array was made':
            seen + b's' + text('y') + b'h\x02(K\x03' + text('<') + b'NNN' + integer(1 << 30) + integer(1) + b'K\0tbs.',
        'a dtype that is changed into records': seen + b's' + text('y') + b'h\x02(K\x03' + text('|') + b'N'
            + text('a') * 1 + b'\x85}NK\x01K\x01K\0tbs.',
        'an array without its data': start + RECONSTRUCT + b'.',
        'ndarray called with a shape': start + b'cnumpy\nndarray\n((' + integer(1 << 28) + b't' + text('f8') + b'tR.',
        'ndarray with zero strides': start + b'cnumpy\nndarray\n((' + integer(1 << 28) + b't' + text('f8')
            + b'C\x080000' + b'0000' + b'K\0(K\0ttR.',
        'a shape larger than its bytes': start + array(integer(1 << 28), DTYPE, b'\0' * 16) + b'.',
        'a negative shape': start + array(b'J\xff\xff\xff\xff', DTYPE, b'\0' * 16) + b'.',
        'a list that holds itself': start + b']q\x01h\x01a.',
        'a dict that holds itself': start + b'}q\x01' + text('a') + b'h\x01s.',
        'a tuple in a list in itself': start + b']q\x01(h\x01K\x01ta.',
        'tuples that double as a value': start + b'(K\x01tq\x03' + doubling + b'.',
        'tuples that double as a key': start + b'}(K\x01tq\x03' + doubling + b'K\x01s.',
        'lists that double': start + b']q\x03' + b''.join(
            b'](h' + bytes([i]) + b'h' + bytes([i]) + b'eq' + bytes([i + 1]) for i in range(3, 60)) + b'.',
        'nesting of 100,000': start + b'(' * 100_000 + b't' * 100_000 + b'.',
        'a text of 10 GiB': b'\x80\x04\x8d' + struct.pack('<Q', 10 << 30) + b'x.',
        'bytes of 10 GiB': b'\x80\x04\x8e' + struct.pack('<Q', 10 << 30) + b'x.',
        'a bytearray of 10 GiB': b'\x80\x05\x96' + struct.pack('<Q', 10 << 30) + b'x.',
        'a frame of 10 GiB': b'\x80\x04\x95' + struct.pack('<Q', 10 << 30) + b'N.',
        'a size below zero': start + b'\x8b\xff\xff\xff\xff.',
        'a number of 100,000 digits': b'L' + b'1' * 100_000 + b'L\n.',
        'bytes that grow by a codec': start + text('x' * 64) + b''.join(
            b'q\x01c_codecs\nencode\n(h\x01' + text('unicode_escape') + b'tR' for _ in range(3)) + b'.',
        'bytearray as a function': start + b'cbuiltins\nbytearray\n(' + integer(10 << 30) + b'tR.',
        'a persistent id': start + text('x') + b'Q.',
        'an extension': b'\x80\x02\x82\x01.',
        'an object of an array': start + b'cnumpy\nndarray\n)\x81}b.',
        'a call of data': start + text('x') + b')R.',
        'an OrderedDict of tuples': start + b'ccollections\nOrderedDict\n(](K\x01K\x02tatR.',
    }


@pytest.mark.fault('F29', 'pickles with false sizes, types or references, some of which took gigabytes or did not '
                   'terminate')
@pytest.mark.parametrize('name', sorted(lies()))
def test_an_annotation_pickle_that_lies(tmp_path, name, lost):
    (tmp_path / 'a.pkl').write_bytes(lies()[name])
    if name.startswith('a dtype that is changed'):  # what BUILD changes has no say: the array is that of its bytes
        with bounded():
            assert load_pickle(str(tmp_path / 'a.pkl'))['x'].shape == (4,)
    else:
        refused(tmp_path / 'a.pkl', lambda path: load_pickle(str(path)))
    lost('nothing')


@pytest.mark.fault('F29', 'pickles with false sizes, types or references, some of which took gigabytes or did not '
                   'terminate')
@pytest.mark.parametrize('name', sorted(lies()))
@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_a_checkpoint_that_lies(tmp_path, name, form, lost):
    data = lies()[name]
    if form == 'zip':
        with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
            archive.writestr('a/data.pkl', data)
            archive.writestr('a/version', '3\n')
    else:
        head = [pickle.dumps(part, 2) for part in (0x1950a86a20f9469cfc6c, 1001, dict(little_endian=True))]
        (tmp_path / 'a.pth').write_bytes(b''.join(head) + data + pickle.dumps([], 2))
    refused(tmp_path / 'a.pth', load_checkpoint)
    lost('nothing')


def rewritten(path, change) -> None:
    """Rewrite a zip in place with the data that ``change(name, data)`` returns."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in entries:
            archive.writestr(name, change(name, data))


def overlapping(path, copies: int) -> None:
    """Storages that share the same bytes of the file."""
    state = {f'backbone.{i:04d}': torch.zeros(1 << 18) for i in range(copies)}
    torch.save(dict(state_dict=state), path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if '/data/' in entry.filename]
        end = archive.start_dir
    first, last = entries[0].header_offset, entries[-1].header_offset + 1
    directory = bytearray(data[end:])
    kept = data[:entries[1].header_offset]
    position = 0
    while directory[position:position + 4] == b'PK\1\2':
        name, extra, comment = struct.unpack_from('<HHH', directory, position + 28)
        offset, = struct.unpack_from('<I', directory, position + 42)
        if first <= offset < last:
            struct.pack_into('<I', directory, position + 42, first)
        position += 46 + name + extra + comment
    struct.pack_into('<I', directory, directory.rindex(b'PK\5\6') + 16, len(kept))
    path.write_bytes(kept + bytes(directory))


@pytest.mark.fault('F30', 'checkpoint zips with overlapping, repeated, nested or shortened entries; storages with '
                   'false sizes')
def test_zips_that_lie(tmp_path, record_property, lost):
    path = tmp_path / 'a.pth'
    overlapping(path, 40)
    refused(path, load_checkpoint)
    torch.save(dict(state_dict=dict(a=torch.zeros(1000))), path)
    with zipfile.ZipFile(path, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr('a/data.pkl', b'N.')
    refused(path, load_checkpoint, 'has overlapping entries')
    torch.save(dict(state_dict=dict(a=torch.zeros(1000))), path)
    rewritten(path, lambda name, data: data[:100] if name.endswith('/data/0') else data)
    refused(path, load_checkpoint, 'is missing, or shorter than stated')
    inner = io.BytesIO()
    torch.save(dict(a=1), inner)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/data.pkl', inner.getvalue())
    refused(path, load_checkpoint)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('../../data.pkl', b'N.')
    refused(path, load_checkpoint)
    for count in (-1, 1 << 47, 1 << 62):
        shape = integer(max(count, 1) % (1 << 62))
        storage = b'((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpu' + integer(count) + b'tQ'
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('a/data.pkl', b'\x80\x02}' + text('a') + b'ctorch._utils\n_rebuild_tensor_v2\n' + storage
                             + b'K\0(' + shape + b't(K\1t\x89NtRs.')
            archive.writestr('a/data/0', bytes(64))
        refused(path, load_checkpoint)
    record_property('tried', 8)
    lost('nothing')


def odd_tensors() -> dict:
    weight = torch.eye(4)
    made = {'sparse': weight.to_sparse(), 'csr': weight.to_sparse_csr(), 'meta': torch.empty(1 << 40, device='meta'),
            'quantised': torch.quantize_per_tensor(weight, .1, 0, torch.qint8), 'complex': weight.to(torch.complex64),
            'fp8': weight.to(torch.float8_e4m3fn), 'expanded': torch.zeros(1).expand(1 << 30),
            'nested': torch.nested.nested_tensor([weight, weight])}
    return made


@pytest.mark.fault('F31', 'weights that are sparse, meta, quantised, complex, fp8, nested or expanded')
@pytest.mark.parametrize('kind', ['sparse', 'csr', 'meta', 'quantised', 'complex', 'fp8', 'expanded', 'nested'])
def test_odd_weights(tmp_path, kind, lost):
    path, tensor = tmp_path / 'a.pth', odd_tensors()[kind]
    made = content()
    made['state_dict']['backbone.layers.0.weight'] = tensor
    made['state_dict']['encoder_q.st_gcn_networks.0.gcn.conv.weight'] = tensor
    torch.save(made, path)
    for read in (load_checkpoint, FeatureExtractor, lambda path: export_weights(path, str(tmp_path / 'x')),
                 lambda path: convert('ActCLR', path, str(tmp_path / 'x')),
                 lambda path: load_backbone(build_model(MODEL, 'x'), path)):
        refused(path, read)
    assert [file.name for file in tmp_path.iterdir()] == ['a.pth']
    lost('nothing')


SPOILT = {  # what replaces the content, or a part of it
    'a list': lambda c: [1], 'None': lambda c: None, 'a tensor': lambda c: torch.ones(3), 'a text': lambda c: 'x',
    'integer keys': lambda c: {1: torch.ones(3), **c}, 'state_dict a list': lambda c: {**c, 'state_dict': [1]},
    'state_dict None': lambda c: {**c, 'state_dict': None}, 'state_dict a tensor': lambda c: {**c, 'state_dict':
                                                                                             torch.ones(2)},
    'integer names': lambda c: {**c, 'state_dict': {1: torch.ones(1), 2: torch.ones(1)}},
    'weights as numbers': lambda c: {**c, 'state_dict': {'backbone.a': 5}},
    'weights as lists': lambda c: {**c, 'state_dict': {'backbone.a': [1., 2.]}},
    'weights as arrays': lambda c: {**c, 'state_dict': {'backbone.a': np.ones(3)}},
    'escape codes': lambda c: {**c, 'state_dict': {'backbone.\x1b[2J': torch.ones(1)}},
    'a name of 10,000': lambda c: {**c, 'state_dict': {'backbone.' + 'a' * 10_000: torch.ones(1)}},
    'meta a list': lambda c: {**c, 'meta': [1]}, 'meta a text': lambda c: {**c, 'meta': 'x'},
    'info a list': lambda c: {**c, 'meta': dict(mmskelssl=[1])}, 'info a text': lambda c: {**c, 'meta':
                                                                                         dict(mmskelssl='x')},
    'epoch a text': lambda c: {**c, 'meta': {**c['meta'], 'epoch': '1'}},
    'with and without module': lambda c: {**c, 'state_dict': {**c['state_dict'], **{
        f'module.{k}': v for k, v in c['state_dict'].items()}}}}
PARTIAL = {  # read, but no model or weights for it
    'meta missing': lambda c: dict(state_dict=c['state_dict']), 'meta None': lambda c: {**c, 'meta': None},
    'empty': lambda c: {}, 'no state_dict': lambda c: dict(meta=c['meta']),
    'no weights': lambda c: {**c, 'state_dict': {}},
    'integers for floats': lambda c: {**c, 'state_dict': {k: v.long() for k, v in c['state_dict'].items()}},
    'NaN': lambda c: {**c, 'state_dict': {k: v * float('nan') if v.is_floating_point() else v
                                          for k, v in c['state_dict'].items()}}}


@pytest.mark.fault('F32', 'descriptions with unknown arguments, values of the wrong type, and any size, depth or '
                   'spelling')
@pytest.mark.parametrize('name', [*SPOILT, *PARTIAL])
def test_content_of_another_kind(tmp_path, name, lost):
    path = tmp_path / 'a.pth'
    torch.save({**SPOILT, **PARTIAL}[name](content()), path)
    if name in SPOILT:
        refused(path, load_checkpoint)
    else:
        assert set(load_checkpoint(path)) >= {'meta', 'state_dict'}
    refused(path, FeatureExtractor)
    refused(path, lambda path: check_resumable(load_checkpoint(path), path))
    refused(path, lambda path: convert('ActCLR', path, str(tmp_path / 'x')))
    if name not in ('meta missing', 'meta None', 'integers for floats'):
        refused(path, lambda path: export_weights(path, str(tmp_path / 'x.safetensors')))
    lost('nothing')


@pytest.mark.fault('F32', 'descriptions with unknown arguments, values of the wrong type, and any size, depth or '
                   'spelling')
def test_arguments_of_python(tmp_path, lost, record_property):
    path = save(tmp_path / 'a.pth')
    for wrong in (None, 5, b'x', '', 'a\0b', tmp_path, [path], 'https://x/a.pth'):
        with pytest.raises(UserError):
            FeatureExtractor(wrong)
    for device in ('meta', 'gpu', 'cuda:99', 3.5, 'cpu:x'):
        with pytest.raises(UserError, match='cannot be used'):
            FeatureExtractor(path, device)
    for size in (None, '8', 2.):
        with pytest.raises(UserError, match='batch size'):
            FeatureExtractor(path, 'cpu', size)
    FeatureExtractor(path, 'cpu')
    record_property('tried', 16)
    lost('nothing')
