"""Measure a training step in several ways, to choose between them at the start of a run."""
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmskelssl.models.base import Progress
from mmskelssl.registry import MODELS

ON_A_CPU = 16  # clips of a measured step; the time of a step is nearly proportional to its clips there


def step_times(cfg: Config, seconds: float, ways: Sequence[Callable[[], AbstractContextManager]]) -> list[float]:
    """Measure training steps without the optimiser, in each way in turn.

    The model and the data are built for the measurement only, and random numbers that others draw stay the same.

    Args:
        cfg: A complete config.
        seconds: Time to measure, after a first step in each way. At least one step of each is measured.
        ways: Functions that return a context for the forward pass and the backward pass.

    Returns:
        Median seconds of wall time of a step in each way.
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
            return [1.] * len(ways)
        model = MODELS.build(cfg.model).to(device).train()
        times: list[list[float]] = [[] for _ in ways]
        end = 0.
        for i in itertools.count():
            turn, way = divmod(i, len(ways))
            start = time.perf_counter()
            model.set_progress(Progress(0, i, 1000))
            with ways[way]():
                losses = model(**model.data_preprocessor(batch, True), mode='loss')
                model.parse_losses(losses)[0].backward()
            model.zero_grad(set_to_none=True)
            if device != 'cpu':
                torch.cuda.synchronize()
            now = time.perf_counter()
            if not turn:  # the first step of each
                end = now + seconds
                continue
            times[way].append(now - start)
            if way == len(ways) - 1 and now > end:
                break
    return [statistics.median(of_way) for of_way in times]
