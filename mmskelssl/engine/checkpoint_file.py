"""Checks the file of a checkpoint before torch reads it.

``torch.load(weights_only=True)`` runs no code, but it trusts sizes, copies shared containers along every path, and
creates sparse, quantised or expanded tensors of any size from a few bytes. Therefore the pickle is first read with
stand-ins for tensors, which are compared with the storages that the file actually contains.
"""
import io
import math
import pickle
import zipfile
from dataclasses import dataclass
from typing import cast

from mmskelssl.engine.checkpoint_zip import check_table
from mmskelssl.engine.unpickle import History, nothing
from mmskelssl.plain_pickle import ARRAYS, PlainUnpickler, StandIn, restore

# Memory is at most the file's size for tensors, 4 times that for arrays and strings, and 200 bytes for each step.
MAX_STEPS = 5_000_000
MAX_VIEWS = 4  # maximum total size of the tensors in multiples of the file's size, as tensors may share memory
_MAGIC, _PROTOCOL = 0x1950a86a20f9469cfc6c, 1001  # of the legacy format, before zip
_ITEM_SIZES = dict(Double=8, Float=4, Half=2, BFloat16=2, Long=8, Int=4, Short=2, Char=1, Byte=1, Bool=1)


class Refused(ValueError):
    """The file contains something that no checkpoint needs."""


@dataclass(frozen=True)
class StorageType:
    """``torch.FloatStorage`` and similar types, reduced to the size of an element."""
    size: int


@dataclass(frozen=True)
class Storage:
    """Memory of a tensor: the size of an element, and the number of elements in the file."""
    size: int
    count: int


class Tensor(StandIn):
    """``torch._utils._rebuild_tensor_v2``."""

    def __init__(self, storage=None, offset=0, shape=(), stride=(), *_):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def real(self) -> 'Tensor':
        numbers = [self.offset, *self.shape, *self.stride]
        if any(type(number) is not int or number < 0 for number in numbers) or not isinstance(self.storage, Storage) \
                or len(self.shape) != len(self.stride) or len(self.shape) > 16:
            raise ValueError('a tensor with an invalid shape')
        count = math.prod(self.shape)
        end = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True)) + 1
        if count and (end > self.storage.count or count > self.storage.count):
            raise ValueError(f'a tensor of shape {self.shape} in {self.storage.count} numbers')
        self.bytes = count * self.storage.size
        return self


def _tensor_of_bytes(storage=None, offset=0, shape=(), stride=(), requires_grad=False, hooks=None, kind=None,
                     *_) -> Tensor:
    """``torch._utils._rebuild_tensor_v3``, for types without their own storage class, such as uint32."""
    if not isinstance(storage, Storage) or not isinstance(kind, StorageType):
        return Tensor()
    return Tensor(Storage(kind.size, storage.count * storage.size // kind.size), offset, shape, stride)


def _parameter(data=None, *_) -> Tensor:
    return data if isinstance(data, Tensor) else Tensor()


def _counter(items=None) -> dict:
    if items is not None and type(items) is not dict:
        raise ValueError('a Counter of something other than a dict')
    return dict(items or {})


def _shape(items=()) -> tuple:
    return tuple(items) if isinstance(items, (list, tuple)) else ()


def _set(items=()) -> set:
    if not isinstance(items, list) or any(type(item) not in (str, int, float) for item in items):
        raise ValueError('a set of something other than strings and numbers')
    return set(items)


_NAMES: dict[tuple[str, str], object] = {
    **ARRAYS,
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): History,
    ('collections', 'Counter'): _counter,
    ('torch', 'Size'): _shape,
    ('torch', 'device'): nothing,
    ('torch._utils', '_rebuild_tensor_v2'): Tensor,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_tensor_v3'): _tensor_of_bytes,
    ('torch.storage', 'UntypedStorage'): StorageType(1),
    **{('torch', f'{kind}Storage'): StorageType(size) for kind, size in _ITEM_SIZES.items()},
    **{('torch', kind): StorageType(size) for kind, size in dict(uint16=2, uint32=4, uint64=8).items()},
    **{('torch', kind): None for kind in 'float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool'.split()},
    **{(module, name): function for module in ('builtins', '__builtin__')
       for name, function in (('getattr', nothing), ('set', _set))},
}
_KINDS = {'_rebuild_sparse_tensor': 'sparse', '_rebuild_sparse_csr_tensor': 'sparse', '_rebuild_qtensor': 'quantised',
          '_rebuild_nested_tensor': 'nested', '_rebuild_meta_tensor_no_storage': 'empty (meta)',
          '_rebuild_wrapper_subclass': 'custom', '_rebuild_from_type_v2': 'custom'}


def unusual_tensor(name: str) -> str | None:
    """Return the kind of tensor that a name in a pickle belongs to, or None if it does not belong to a tensor."""
    module, _, name = name.rpartition('.')
    if module == 'torch' and name.endswith('Storage'):
        return 'complex' if 'Complex' in name else 'quantised' if name.startswith('Q') else 'unusual'
    if module == 'torch' and name.startswith(('float', 'complex', 'qint', 'quint', 'uint', 'int', 'bits')):
        return 'unusual'
    return _KINDS.get(name) if module.startswith('torch') else None


def check_file(path: str) -> None:
    """Refuse a file that contains more than dense tensors and plain data, or whose sizes are inconsistent.

    Raises:
        Exception: Of various types, because the file may be damaged in any way.
    """
    with open(path, 'rb') as file:
        if file.read(4) == b'PK\x03\x04':  # as torch decides
            tree, size = _zip(path)
        else:
            tree, size = _legacy(file)
    tensors: dict[int, int] = {}
    _collect(restore(tree), tensors)
    if sum(tensors.values()) > MAX_VIEWS * size + (1 << 20):
        raise ValueError('tensors that share so much memory that they are larger than the file')


def _collect(node, tensors: dict[int, int], seen: set[int] | None = None) -> None:
    """Collect the number of bytes of every tensor, counting each tensor once."""
    seen = set() if seen is None else seen
    if isinstance(node, Tensor):
        tensors[id(node)] = node.bytes
    elif isinstance(node, (dict, list, tuple)) and id(node) not in seen:
        seen.add(id(node))
        for item in node.values() if isinstance(node, dict) else node:
            _collect(item, tensors, seen)


def _zip(path: str) -> tuple[object, int]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        assert archive.fp is not None  # the archive is open
        size = archive.fp.seek(0, 2)
        sizes = {entry.filename: entry.file_size for entry in entries}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise Refused('is compressed, which torch never does: it may unpack to any size')
        if len(sizes) < len(entries) or sum(sizes.values()) > size:
            raise Refused('has overlapping entries, which may unpack to any size')
        check_table(archive)
        pickles = [name for name in sizes if name.endswith('/data.pkl') and name.count('/') == 1]
        if len(pickles) != 1 or any(name.endswith('/constants.pkl') for name in sizes):
            raise ValueError('not one data.pkl')
        folder = pickles[0].removesuffix('data.pkl')

        def storage(pid) -> Storage:
            kind, key, count = _parse(pid)
            if sizes.get(f'{folder}data/{key}', -1) < count * kind.size:
                raise ValueError(f'storage {key[:20]!r} is missing, or shorter than stated')
            return Storage(kind.size, count)

        # It is read in tens of thousands of small parts.
        with io.BufferedReader(cast(io.RawIOBase, archive.open(pickles[0]))) as file:
            return PlainUnpickler(file, _NAMES, sizes[pickles[0]], storage, MAX_STEPS).load(), size


def _legacy(file) -> tuple[object, int]:
    """The format before zip: three short pickles, the data, the list of storages, and these one after another."""
    size, storages = file.seek(0, 2), dict[str, Storage]()
    file.seek(0)

    def storage(pid) -> Storage:
        kind, key, count = _parse(pid)
        made = Storage(kind.size, count)
        if storages.setdefault(key, made) != made:
            raise ValueError(f'storage {key[:20]!r} has two sizes')
        return made

    def load(**options):
        return PlainUnpickler(file, _NAMES, size, **options).load()

    head = [load(max_opcodes=1000) for _ in range(3)]
    if head[:2] != [_MAGIC, _PROTOCOL]:
        raise ValueError('no checkpoint')
    tree, keys = load(persistent=storage, max_opcodes=MAX_STEPS), load(max_opcodes=MAX_STEPS)
    if not isinstance(keys, list) or sorted(storages) != sorted(map(str, keys)):
        raise ValueError('a list of storages that does not match its tensors')
    for key in map(str, keys):
        if int.from_bytes(file.read(8), 'little') != storages[key].count:
            raise ValueError(f'storage {key[:20]!r} has another size than its tensors state')
        file.seek(storages[key].count * storages[key].size, 1)
    if file.tell() > size:
        raise EOFError('it ends too early')
    return tree, size


def _parse(pid) -> tuple[StorageType, str, int]:
    """Parse a persistent id: ('storage', type, key, device, number of elements), and in old files a view, None."""
    if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != 'storage' or pid[5:] not in ((), (None,)):
        raise pickle.UnpicklingError('it refers to something that is not a storage')
    _, kind, key, device, count = pid[:5]
    if not isinstance(kind, StorageType) or type(key) is not str or type(device) is not str or type(count) is not int \
            or not 0 <= count < 1 << 48:
        raise ValueError('a storage with an invalid description')
    return kind, key, count


