"""Reads pickles of plain data without trusting them: inert stand-ins, bounded memory and no cycles.

Annotation files and checkpoints are both pickles. The unpickler in this module never gives a file access to classes or
functions of Python, numpy or torch. It only offers the classes below, which store their arguments. :func:`restore` then
checks the stored values and creates arrays and numbers from them.
"""
import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np

# A file of N bytes takes at most about 200 N bytes of memory: the most expensive opcodes are one byte long and create
# an empty dict. Actual data, such as the bytes of an array, is stored once. These limits bound what a short file can
# expand to.
MAX_DEPTH, MAX_NODES = 64, 20_000_000
# Only kind and size; objects and records are not allowed.
DTYPES = {f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8)} | {'f2', 'f4', 'f8', 'b1'}
_KEYS = (str, int, float, bool, bytes, type(None))


class ForeignName(pickle.UnpicklingError):
    """The file names a class or function that is not allowed."""

    def __init__(self, module: str, name: str):
        super().__init__(f'it refers to {module!r} {name!r}')
        self.name = f'{module}.{name}'


class StandIn:
    """Base class of objects that an opcode may call or fill. ``real()`` checks the stored values and converts them."""

    def real(self):
        raise ValueError(f'an incomplete {type(self).__name__.lower()}')


class Dtype(StandIn):
    """``numpy.dtype('f8', False, True)``, followed by its state ``(version, byte order, ...)``."""

    def __init__(self, code='', *_):
        self.code, self.order = code if isinstance(code, str) else '', '='

    def __setstate__(self, state):
        self.order = state[1]

    def real(self) -> np.dtype:
        if self.code.startswith('O'):
            raise ValueError('an array of Python objects')
        text = self.code[:1] in ('U', 'S') and self.code[1:].isdecimal() and len(self.code) <= 5
        if not text and self.code not in DTYPES:
            raise ValueError(f'an array of type {self.code[:20]!r}, not of numbers or text')
        return np.dtype(self.code).newbyteorder({'<': '<', '>': '>'}.get(self.order, '='))


class Array(StandIn):
    """``numpy.ndarray``, with the state ``(version, shape, dtype, Fortran order, bytes)``."""
    state = None

    def __setstate__(self, state):
        self.state = state

    def real(self) -> np.ndarray:
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError('an array without data')
        _, shape, dtype, fortran, data = self.state
        return make_array(data, dtype, shape, 'F' if fortran else 'C')


class Buffer(Array):
    """Protocol 5: ``_frombuffer(bytes, dtype, shape, order)``."""

    def __init__(self, data=b'', dtype=None, shape=(), order='C'):
        self.state = (1, shape, dtype, order == 'F', data)


class Scalar(StandIn):
    """``numpy._core.multiarray.scalar(dtype, bytes)``."""

    def __init__(self, dtype=None, data=b''):
        self.dtype, self.data = dtype, data

    def real(self):
        return make_array(self.data, self.dtype, (), 'C')[()]


def make_array(data, dtype, shape, order: Literal['C', 'F']) -> np.ndarray:
    """Create an array from ``data``.

    Raises:
        ValueError: If type, shape and size are invalid or inconsistent.
    """
    if not isinstance(dtype, Dtype):
        raise ValueError('an array without a type')
    dtype = dtype.real()
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError('an array that does not keep its data as bytes')
    if not isinstance(shape, tuple) or len(shape) > 32 or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError('an array with an invalid shape')
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f'an array of shape {shape} and type {dtype} with {len(data)} bytes')
    if not dtype.itemsize:
        return np.zeros(shape, dtype) if not math.prod(shape) else _refuse('an array of empty text')
    return np.frombuffer(data if isinstance(data, bytearray) else bytearray(data), dtype).reshape(shape, order=order)


def _refuse(what: str):
    raise ValueError(what)


def new_array(*_) -> Array:
    """``numpy._core.multiarray._reconstruct``."""
    return Array()


def encode(text='', encoding='') -> bytes:
    """``codecs.encode``, which old pickles use for bytes. Other codecs can run code or expand their input."""
    if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'it holds text in the codec {encoding!r}')
    return text.encode('latin-1')


def empty_bytes(*_) -> bytes:
    """``bytes()``, which protocol 2 uses for the data of an empty array."""
    return b''


ARRAYS = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): encode,
    **{(module, 'bytes'): empty_bytes for module in ('builtins', '__builtin__')},
    ('numpy', 'ndarray'): Array,
    ('numpy', 'dtype'): Dtype,
    **{(f'numpy.{core}.multiarray', name): stand_in for core in ('core', '_core')
       for name, stand_in in (('_reconstruct', new_array), ('scalar', Scalar))},
    **{(f'numpy.{core}.numeric', '_frombuffer'): Buffer for core in ('core', '_core')},
}


class _Bounded:
    """A file that refuses to read more than it contains before memory is allocated."""

    def __init__(self, file, end: int):
        self.file, self.left = file, end - file.tell()

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise EOFError('it ends too early, or names a size that it does not have')
        self.left -= count
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(4096)
        self.left -= len(line)
        if self.left < 0 or not line.endswith(b'\n'):
            raise EOFError('a line of it does not end')
        return line


class PlainUnpickler(pickle._Unpickler):
    """Reads one pickle of plain data. It is written in pure Python because each opcode has to be checked.

    Args:
        file: Seekable binary file.
        names: Maps (module, name) to its stand-in.
        size: End of the pickle in the file. Default: the end of the file.
        persistent: Called with each persistent id. Default: persistent ids are refused.
        max_opcodes: Maximum number of opcodes. Default: no limit.
    """
    dispatch: ClassVar[dict] = {
        code: function for code, function in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4,
                                 pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.PERSID)}

    def __init__(self, file, names: Mapping[tuple[str, str], object] = ARRAYS, size: int | None = None,
                 persistent: Callable | None = None, max_opcodes: int | None = None):
        size = os.fstat(file.fileno()).st_size if size is None else size
        super().__init__(_Bounded(file, size))
        self.names, self.persistent, self.max_opcodes = names, persistent, max_opcodes
        self.callables = {id(stand_in) for stand_in in names.values()}

    def load(self):
        # As in the base class, plus a counter and a common error for unknown and forbidden opcodes.
        self._unframer = frame = pickle._Unframer(self._file_read, self._file_readline)
        self.read, self.readline = frame.read, frame.readline
        self.metastack, self.stack, self.proto = [], [], 0
        self.append, dispatch, count = self.stack.append, self.dispatch, 0
        try:
            while True:
                code = self.read(1)
                count += 1
                if count == self.max_opcodes:
                    raise pickle.UnpicklingError(f'it has more than {count:,} steps')
                function = dispatch.get(code[0])
                if function is None:
                    raise pickle.UnpicklingError(f'it uses the opcode {code!r}')
                function(self)
        except pickle._Stop as stop:
            return stop.value

    def find_class(self, module, name):
        try:
            return self.names[module, name]
        except (KeyError, TypeError):
            raise ForeignName(str(module)[:100], str(name)[:100]) from None

    def persistent_load(self, pid):
        if self.persistent is None:
            raise pickle.UnpicklingError('it refers to objects outside the file')
        return self.persistent(pid)

    def load_reduce(self):
        arguments, function = self.stack.pop(), self.stack[-1]
        self.stack[-1] = self._call(function, arguments)

    def _call(self, function, arguments):
        if id(function) not in self.callables or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError('it calls something that is not a function')
        if function is OrderedDict:  # arguments would be hashed
            arguments = () if not arguments or arguments == ([],) else _refuse('an OrderedDict with arguments')
        return function(*arguments)

    def load_build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, StandIn) and hasattr(target, '__setstate__'):
            target.__setstate__(state)
        elif type(target) is not OrderedDict:  # the attributes of a state dict are not needed
            raise pickle.UnpicklingError(f'it fills a {type(target).__name__}')

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self):
        self._fill(self.pop_mark())

    def _fill(self, items: list):
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict):
            raise pickle.UnpicklingError(f'it sets an item of a {type(target).__name__}')
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def load_dict(self):
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_append(self):
        value = self.stack.pop()
        self._extend([value])

    def load_appends(self):
        self._extend(self.pop_mark())

    def _extend(self, items: list):
        if type(self.stack[-1]) is not list:
            raise pickle.UnpicklingError(f'it appends to a {type(self.stack[-1]).__name__}')
        self.stack[-1].extend(items)

    def load_additems(self):
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError(f'it adds to a {type(self.stack[-1]).__name__}')
        self.stack[-1].update(map(_key, items))

    def load_frozenset(self):
        self.append(frozenset(map(_key, self.pop_mark())))

    def load_bytearray8(self):
        size = int.from_bytes(self.read(8), 'little')
        self.append(bytearray(self.read(size)))  # allocated only after the data has been read

    def load_newobj(self):
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(self._call(kind, arguments))

    for _opcode, _function in ((pickle.REDUCE, load_reduce), (pickle.BUILD, load_build), (pickle.SETITEM, load_setitem),
                               (pickle.SETITEMS, load_setitems), (pickle.DICT, load_dict),
                               (pickle.APPEND, load_append), (pickle.APPENDS, load_appends),
                               (pickle.ADDITEMS, load_additems), (pickle.FROZENSET, load_frozenset),
                               (pickle.BYTEARRAY8, load_bytearray8), (pickle.NEWOBJ, load_newobj)):
        dispatch[_opcode[0]] = _function


def _key(key):
    """Check a key of a dict or set. Nested tuples are refused because hashing them can take arbitrarily long."""
    plain = type(key) in _KEYS or isinstance(key, Scalar)
    if not plain and not (type(key) is tuple and len(key) < 32 and all(type(part) in _KEYS for part in key)):
        raise pickle.UnpicklingError(f'a {type(key).__name__} of it is a key')
    return key.real() if isinstance(key, Scalar) else key


def restore(value, convert: Callable | None = None):
    """Replace stand-ins with the objects that they represent, in place where possible.

    Shared objects remain shared. Because of the limits below, a traversal of the result never visits more than
    :data:`MAX_NODES` values.

    Args:
        convert: Called with each restored dict. Its return value replaces the dict.

    Raises:
        ValueError: If a value contains itself, is nested deeper than :data:`MAX_DEPTH`, or expands to more than
            :data:`MAX_NODES` values.
    """
    done: dict[int, tuple] = {}  # id -> (original, kept so that its id is not reused; result; size when expanded)

    def visit(node, depth: int):
        if not isinstance(node, (dict, list, tuple, set, frozenset, StandIn)):
            return node, 1
        if id(node) in done:
            _, made, size = done[id(node)]
            if size is None:
                raise ValueError('it contains something that contains itself')
            return made, size
        if depth > MAX_DEPTH:
            raise ValueError(f'it is nested more than {MAX_DEPTH} deep')
        done[id(node)] = node, None, None
        made, size = node, 1
        if isinstance(node, dict):
            for key, item in node.items():
                node[key], part = visit(item, depth + 1)
                size += part
            made = convert(node) if convert else node
        elif isinstance(node, list):
            for i, item in enumerate(node):
                node[i], part = visit(item, depth + 1)
                size += part
        elif type(node) is tuple:
            pairs = [visit(item, depth + 1) for item in node]
            made, size = tuple(item for item, _ in pairs), 1 + sum(part for _, part in pairs)
        elif isinstance(node, StandIn):
            made = node.real()
        if size > MAX_NODES:
            raise ValueError(f'it unfolds to more than {MAX_NODES:,} values')
        done[id(node)] = node, made, size
        return made, size

    return visit(value, 0)[0]
