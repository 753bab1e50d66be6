"""``--amp``: training in bfloat16, always or if a short measurement on this machine favours it."""
import itertools
import json
import statistics
import time
from dataclasses import replace

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.run_spec import RunSpec, plain
from mmskelssl.errors import UserError
from mmskelssl.models.base import Progress
from mmskelssl.registry import MODELS

SECONDS = 2.  # of the measurement
ON_A_CPU = 16  # clips of a measured step; the time of a step is nearly proportional to its clips there
LEAST_GAIN = .95  # bfloat16 is chosen if a step takes less than this share of the time
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


def choose_precision(cfg: Config, spec: RunSpec) -> tuple[RunSpec, str]:
    """Apply ``--amp auto`` to a complete config. A run that continues keeps the precision of its checkpoint.

    Returns:
        The description of the run with the chosen precision, and a line for the log.

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
    return spec, f'--amp auto: {"bfloat16" if chosen else "float32"}, {reason}'


def _recorded(path: str) -> str | None:
    """Return the wrapper of the optimiser of the run that wrote a checkpoint, if it says so."""
    decisive = (load_checkpoint(path)['meta'].get('mmskelssl') or {}).get('decisive')
    try:
        return json.loads(decisive).get('optim_wrapper.type', 'OptimWrapper') if decisive else None
    except (AttributeError, TypeError, ValueError):
        return None  # continuing from it is refused later, with the reason


def measure_steps(cfg: Config, seconds: float) -> tuple[float, float]:
    """Measure training steps without the optimiser, in turn in float32 and in bfloat16.

    The model and the data are built for the measurement only, and random numbers that others draw stay the same.

    Args:
        cfg: A complete config.
        seconds: Time to measure, after a first step of each. At least one step of each is measured.

    Returns:
        Median seconds of a step in float32 and in bfloat16.
    """
    device = get_device()
    size = cfg.train_dataloader.batch_size
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope('mmskelssl'):
        torch.manual_seed(0)
        loader = Runner.build_dataloader(dict(
            cfg.train_dataloader, batch_size=size if device != 'cpu' else min(size, ON_A_CPU), num_workers=0,
            persistent_workers=False, pin_memory=False, prefetch_factor=None), seed=0)
        batch = next(iter(loader), None)
        if batch is None:  # too few clips, which training will report
            return 1., 1.
        model = MODELS.build(cfg.model).to(device).train()
        times: tuple[list[float], list[float]] = ([], [])
        end = 0.
        for i in itertools.count():
            half = bool(i % 2)
            start = time.perf_counter()
            model.set_progress(Progress(0, i, 1000))
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
                losses = model(**model.data_preprocessor(batch, True), mode='loss')
                total, _ = model.parse_losses(losses)
            total.backward()
            model.zero_grad(set_to_none=True)
            if device != 'cpu':
                torch.cuda.synchronize()
            now = time.perf_counter()
            if i < 2:  # the first step of each
                end = now + seconds
                continue
            times[half].append(now - start)
            if half and now > end:
                break
    return statistics.median(times[0]), statistics.median(times[1])
