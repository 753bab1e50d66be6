"""``--amp``: training in bfloat16, always or if a short measurement on this machine favours it."""
import json
import time
from dataclasses import replace
from functools import partial

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.run_spec import RunSpec, plain
from mmskelssl.engine.step_time import step_times
from mmskelssl.errors import UserError

SECONDS = 2.  # of the measurement
LEAST_GAIN = .95  # bfloat16 is chosen if a step takes less than this share of the time
EMULATED = 3.  # times as long as in float32: the processor has no bfloat16, and even --amp auto would not choose it
_REPLACED = ('OptimWrapper', 'PartsOptimWrapper', 'BF16OptimWrapper')


def train_in_bfloat16(cfg: Config) -> None:
    """Apply ``--amp``. An optimiser wrapper of another type in the config is refused, not replaced."""
    _wrapper(cfg)
    cfg.optim_wrapper.type = 'BF16OptimWrapper'


def _wrapper(cfg: Config) -> str:
    """Return the optimiser wrapper of a config, if ``--amp`` may replace it."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in _REPLACED:
        raise UserError(f'{cfg.filename}: --amp would replace optim_wrapper.type = {kind!r}: leave out one of the two')
    return kind


def choose_precision(cfg: Config, spec: RunSpec) -> tuple[RunSpec, list[str]]:
    """Apply ``--amp auto`` to a complete config. A run that continues keeps the precision of its checkpoint.

    Returns:
        The description of the run with the chosen precision, and lines for the log.

    Raises:
        UserError: If several processes train, or the config has another wrapper of the optimiser.
    """
    if cfg.get('launcher', 'none') != 'none':
        raise UserError('--amp auto measures a single process: with several, write --amp or leave it out')
    kind = _wrapper(cfg)
    before = _recorded(cfg.load_from) if cfg.get('load_from') else None
    if before:
        chosen, reason = before == 'BF16OptimWrapper', 'as in the checkpoint'
    elif kind == 'BF16OptimWrapper':
        chosen, reason = True, 'as in the config'
    else:
        full, half = measure_steps(cfg, SECONDS)
        chosen = half < LEAST_GAIN * full
        reason = f'a step takes {1000 * full:.3g} ms in float32 and {1000 * half:.3g} ms in bfloat16'
    if chosen:
        train_in_bfloat16(cfg)
        spec = replace(spec, schedule={**spec.schedule, 'optim_wrapper': plain(cfg.optim_wrapper)})
    return spec, [f'--amp auto: {"bfloat16" if chosen else "float32"}, {reason}']


def warn_of_slow_bfloat16(cfg: Config) -> list[str]:
    """Return a line for the log if a run trains in bfloat16 on a CPU that only emulates it, and no line otherwise."""
    if cfg.optim_wrapper.get('type') != 'BF16OptimWrapper' or torch.device(get_device()).type != 'cpu':
        return []
    full, half = (_product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    if half < EMULATED * full:
        return []
    return [f'bfloat16 is slow on this processor: a product of matrices takes {half / full:.0f} times as long as in '
            'float32. Train without --amp (optim_wrapper.type=OptimWrapper), or with --amp auto']


def _product_seconds(dtype: torch.dtype) -> float:
    """Return the seconds of a product of matrices, the least of three after a first one."""
    matrix = torch.ones(192, 192, dtype=dtype)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _recorded(path: str) -> str | None:
    """Return the wrapper of the optimiser of the run that wrote a checkpoint, if it says so."""
    decisive = (load_checkpoint(path)['meta'].get('mmskelssl') or {}).get('decisive')
    try:
        return json.loads(decisive).get('optim_wrapper.type', 'OptimWrapper') if decisive else None
    except (AttributeError, TypeError, ValueError):
        return None  # continuing from it is refused later, with the reason


def measure_steps(cfg: Config, seconds: float) -> tuple[float, float]:
    """Return the median seconds of a step in float32 and in bfloat16, see :func:`step_times`."""
    kind = torch.device(get_device()).type
    full, half = step_times(cfg, seconds, [
        partial(torch.autocast, kind, torch.bfloat16, enabled=enabled) for enabled in (False, True)])
    return full, half
