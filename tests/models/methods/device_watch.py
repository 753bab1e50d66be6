"""Records where a step would make a GPU wait, with meta tensors in place of a GPU."""
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
_PACKAGE = str(Path(__file__).resolve().parents[3] / 'mmskelssl')
_VALUES = {torch.bool: False, torch.int64: 1, torch.int32: 1}


def _place() -> str:
    """Return the innermost line of the project that is being run."""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename.startswith(_PACKAGE):
            return f'{Path(frame.filename).name}:{frame.name}'
    return 'elsewhere'


class _Watch(TorchDispatchMode):
    """Intercepts operators. Reads of values, which meta tensors do not have, return made-up ones."""

    def __init__(self, found: dict[str, Counter]):
        super().__init__()
        self.found = found

    def note(self, kind: str) -> None:
        self.found[kind][_place()] += 1

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors}
        if devices == {'meta'}:
            kwargs.pop('generator', None)  # meta tensors have no generator
        if function is aten._local_scalar_dense.default and 'meta' in devices:
            self.note('read')
            return _VALUES.get(args[0].dtype, .5)
        if function is aten.nonzero.default and 'meta' in devices:  # as if every value were true
            self.note('read')
            return torch.empty(args[0].numel(), args[0].dim(), dtype=torch.long, device='meta')
        if function is aten.index.Tensor and any(x is not None and x.dtype == torch.bool for x in args[1]):
            self.note('read')
            shape = [x.numel() if x is not None and x.dtype == torch.bool else 1 for x in args[1]]
            return args[0].new_empty(max(shape))
        if function in (aten._to_copy.default, aten.copy_.default) and tensors:
            target = kwargs.get('device', args[0].device) if function is aten._to_copy.default else args[0].device
            source = tensors[-1].device.type
            if source == 'meta' and torch.device(target).type == 'cpu':
                self.note('read')
                made = torch.ones(args[0].shape, dtype=kwargs.get('dtype') or args[0].dtype)
                return made if function is aten._to_copy.default else args[0].copy_(made)
            if source == 'cpu' and torch.device(target).type == 'meta':
                self.note('copy')
                return function(*args, **kwargs)
        if len(devices) > 1:
            self.note('mixed')
        return function(*args, **kwargs)


class _Lists(TorchFunctionMode):
    """Intercepts what turns Python lists into tensors on the device: torch does this outside the dispatcher."""

    def __init__(self, watch: _Watch):
        super().__init__()
        self.watch = watch

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, '__name__', '')
        if name in ('tensor', 'as_tensor', 'asarray', 'new_tensor'):
            device = kwargs.get('device') or (args[0].device if name == 'new_tensor' else 'cpu')
            data = args[1] if name == 'new_tensor' else args[0]
            if torch.device(device).type == 'meta' and not (isinstance(data, torch.Tensor) and data.is_meta):
                self.watch.note('copy')
        if name in ('__getitem__', '__setitem__') and args[0].is_meta:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(part, list) or (isinstance(part, torch.Tensor) and not part.is_meta) for part in index):
                self.watch.note('copy')
        return function(*args, **kwargs)


class Watched(ExitStack):
    """Context manager with counters by place: ``mixed`` devices, ``read`` values, ``copy`` from the host."""

    def __enter__(self):
        super().__enter__()
        self.found = dict(mixed=Counter(), read=Counter(), copy=Counter())
        watch = _Watch(self.found)
        self.enter_context(watch)
        self.enter_context(_Lists(watch))
        return self

    def total(self) -> dict[str, dict[str, int]]:
        return {kind: dict(places) for kind, places in self.found.items() if places}
