"""Paired timing, the machine's measured peaks, and the parts of a case."""
import ctypes
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass
class Case:
    """One benchmark, ready to run: two callables that do the same.

    Args:
        ours, reference: One repetition each.
        samples: Number handled by one repetition, for times per sample.
        flops: FLOPs that ours needs at least.
        traffic: Bytes that ours has to move at least.
        dtype: Type of the arithmetic; decides the peak.
        reference_weight: How many times the reference's repetition counts, if it does only a part of its work.
        products: Whether to compare ours also with its own products alone, see :func:`over_products`.
        extra: Further figures, name -> value.
    """
    ours: Callable[[], object]
    reference: Callable[[], object]
    samples: int = 1
    flops: float = 0.
    traffic: float = 0.
    dtype: torch.dtype = torch.float32
    reference_weight: float = 1.
    products: bool = False
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """A row of the table, and how to make its case.

    Args:
        make: quick -> :class:`Case`.
        check: -> largest relative difference between the arms (float64, dropout 0, smaller shapes).
        goal: For the ratio ours / reference; None if the case is only reported.
        tolerance: For ``check``.
        pairs: Number of repetitions; fewer for long cases, but at least 7 except with ``--quick``.
    """
    title: str
    make: Callable[[bool], Case]
    check: Callable[[], float]
    goal: float | None
    tolerance: float = 1e-10
    pairs: int = 7


def seconds(function: Callable[[], object]) -> float:
    """Processor time of one call: on a shared machine, waiting for a core does not count."""
    start = time.process_time()
    function()
    return time.process_time() - start


def paired(case: Case, pairs: int) -> dict:
    """Time both arms in turn, after one untimed call each, with every other pair in reverse order."""
    case.ours(), case.reference()
    ours, reference = [], []
    for i in range(pairs):
        first, second = (case.ours, case.reference) if i % 2 else (case.reference, case.ours)
        times = seconds(first), seconds(second)
        ours.append(times[not i % 2])
        reference.append(times[i % 2] * case.reference_weight)
    return summary(ours, reference)


def summary(ours: list[float], reference: list[float]) -> dict:
    """Median ratio of the pairs and its spread (quartiles), and the medians."""
    ratios = [a / b for a, b in zip(ours, reference, strict=True)]
    low, high = np.quantile(ratios, (.25, .75))
    return dict(ratio=statistics.median(ratios), spread=[float(low), float(high)], pairs=len(ratios),
                ours_s=statistics.median(ours), reference_s=statistics.median(reference))


def difference(ours: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    ours, reference = ours.detach(), reference.detach()
    return float((ours - reference).abs().max() / reference.abs().max().clamp_min(1e-300))


def worst(pairs) -> float:
    """:func:`difference` of the worst of (ours, reference) pairs."""
    return max(difference(a, b) for a, b in pairs)


def gradients(ours: torch.nn.Module, reference: torch.nn.Module, names: dict[str, str]) -> float:
    """Largest difference of gradients, each relative to its tensor's largest value.

    Tensors whose largest value is below a thousandth of the largest of all are compared with that thousandth: the
    gradient of the bias of a convolution before a BN is zero except for rounding.

    Args:
        names: Our module -> the module of the reference, whose parameters have the same names.
    """
    pairs = []
    for mine, theirs in names.items():
        other = dict(reference.get_submodule(theirs).named_parameters())
        pairs += [(p.grad, other[name].grad) for name, p in ours.get_submodule(mine).named_parameters()]
    least = 1e-3 * max(b.abs().max() for _, b in pairs)
    return max(float((a - b).abs().max() / torch.maximum(b.abs().max(), least)) for a, b in pairs)


def over_products(function: Callable[[], object], pairs: int) -> float:
    """Time of a call relative to its matrix products alone, at their own sizes: the median over pairs.

    The products are those of linear layers and of attention, with its softmax where one kernel does both. They run
    again with the same numbers, in turn with the whole.
    """
    with _Products() as products:
        function()
    case = Case(function, products.repeat)
    return paired(case, pairs)['ratio']


class _Products(TorchDispatchMode):
    """Keeps the products of a call with their arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._overloadpacket in flop_registry or func._overloadpacket in _CPU_ATTENTION:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    def repeat(self):
        """Compute the products again."""
        with torch.no_grad():
            for func, args, kwargs in self.calls:
                func(*args, **kwargs)


# The flop counter of torch does not know them.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
                  torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward}


def count_flops(function: Callable[[], object]) -> float:
    """FLOPs of matrix products and convolutions in one call (two per multiply-add)."""
    return count_work(function)[0]


def count_work(function: Callable[[], object]) -> tuple[float, float]:
    """FLOPs of one call, and the bytes that its operators read and write one by one, nothing fused."""
    with _WorkCounter() as counter:
        function()
    return float(counter.flops), float(counter.bytes)


class _WorkCounter(TorchDispatchMode):
    """torch's FlopCounterMode without module tracking, which does not allow autograd.grad inside; also counts bytes."""
    flops = bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
        if not func.is_view and func._overloadpacket not in _ALLOCATIONS:
            self.bytes += sum(t.numel() * t.element_size() for t in tree_leaves((args, kwargs, out))
                              if isinstance(t, torch.Tensor))
        return out


_ALLOCATIONS = {torch.ops.aten.empty, torch.ops.aten.empty_like, torch.ops.aten.new_empty, torch.ops.aten.detach,
                torch.ops.aten.empty_strided, torch.ops.aten.new_empty_strided}


def peaks(size: int = 1024) -> dict[str, float]:
    """Best rates of this machine, one thread: FLOP/s of a large product or convolution, bytes/s of a copy.

    Args:
        size: Edge of the matrices. The convolution and the copy shrink with it.
    """
    made, channels = {}, size // 4
    for name, dtype in (('float32', torch.float32), ('bfloat16', torch.bfloat16)):
        a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
        x = torch.randn(16, channels, 16, 25).to(dtype).to(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 9, 1).to(dtype).to(memory_format=torch.channels_last)
        with torch.no_grad():
            product = min(seconds(lambda a=a, b=b: a @ b) for _ in range(8))
            convolution = min(seconds(lambda x=x, w=weight: torch.conv2d(x, w, padding=(4, 0))) for _ in range(8))
        made[name] = max(2 * size ** 3 / product, 2 * x.numel() * channels * 9 / convolution)
    source, target = torch.randn(size << 15), torch.empty(size << 15)
    made['copy'] = 2 * source.nbytes / min(seconds(lambda: target.copy_(source)) for _ in range(5))
    return made


def floor_seconds(case: Case, rates: dict[str, float]) -> float:
    """The least time that the case's FLOPs and bytes take at the measured rates: the larger of the two."""
    return max(case.flops / rates[str(case.dtype).removeprefix('torch.')], case.traffic / rates['copy'])


def peak_memory(function: Callable[[], object]) -> float | None:
    """Largest increase of the resident memory during a call, in MB; None if the system does not report it."""
    def status(name: str) -> float:
        with open('/proc/self/status', encoding='utf-8') as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that earlier calls freed would be reused, and not be counted
        with open('/proc/self/clear_refs', 'w', encoding='utf-8') as file:
            file.write('5')  # forget the highest value so far
        before = status('VmRSS')
    except (AttributeError, OSError, StopIteration):
        return None
    function()
    return status('VmHWM') - before


def machine() -> dict:
    """The machine of the figures."""
    model = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            lines = [line.split(':', 1)[1].strip() for line in file if line.startswith(('model name', 'flags'))]
        flags = [flag for flag in ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16') if flag in lines[1].split()]
        model = f'{lines[0]} ({", ".join(flags)})'
    except (OSError, IndexError):
        pass
    return dict(cpu=model, threads=torch.get_num_threads(), system=platform.platform())
