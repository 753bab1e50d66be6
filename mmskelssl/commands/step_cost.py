"""Measures how long training takes: a few steps of a complete config on a few of its clips, without training."""
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.device import get_device
from torch.utils.data import default_collate

from mmskelssl.datasets.preprocessing import build_transform, run_transform
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.pool_config import is_pool
from mmskelssl.errors import UserError
from mmskelssl.models.base import Progress
from mmskelssl.models.classifier import SkeletonClassifier
from mmskelssl.registry import MODELS

ON_A_CPU = 8  # clips of a measured step; the time is scaled to a batch, because it is nearly proportional there
REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """Seconds of a step and of an epoch of pre-training, and per clip of fine-tuning and of feature extraction."""
    step: float
    epoch: float
    tuned_clip: float
    feature_clip: float


def measure_cost(cfg, split: str) -> Cost:
    """Measure a config from :func:`~mmskelssl.engine.config.complete` on this machine.

    Args:
        split: Training split.

    Raises:
        UserError: If the split does not make one batch.
    """
    if is_pool(cfg.data):
        raise UserError('data.stores: the cost of a step is measured for configs of one store')
    device, store = get_device(), SkeletonStore(cfg.data.store)
    size, clips = cfg.train_dataloader.batch_size, len(store.split(split))
    steps = clips // size if cfg.train_dataloader.get('drop_last') else -(-clips // size)
    if not steps:
        raise UserError(f'{store.path}: {clips} training clips of {split} do not make one batch of {size}: lower '
                        'train_dataloader.batch_size')
    count = size if device != 'cpu' else min(size, ON_A_CPU)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).to(device)
        batch = _batch(store, split, cfg.data.pipeline, count)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, 1e-6)
        model.train().set_progress(Progress(0, 0, 1000))

        def pretrain():
            losses = model(**model.data_preprocessor(batch, True), mode='loss')
            _step(optimizer, sum(value for key, value in losses.items() if 'loss' in key))
        step = _seconds(pretrain, device) * size / count
        classifier = SkeletonClassifier(model.backbone, 2, pooling=getattr(model, 'pooling', 'mean'),
                                        concat_persons=getattr(model, 'concat_persons', None)).to(device).train()
        plain = model.data_preprocessor(batch, False)
        labels = dict(plain['data_samples'], label=torch.zeros(count, dtype=torch.long, device=device))
        tuned = _seconds(lambda: _step(optimizer, classifier.loss(plain['inputs'], labels)['loss']), device)
        with torch.no_grad():
            classifier.eval()
            forward = _seconds(lambda: classifier(plain['inputs'], plain['data_samples']), device)
    return Cost(step, steps * step, tuned / count, forward / count)


def _batch(store: SkeletonStore, split: str, pipeline, count: int) -> dict:
    """Return the first clips of a split, repeated if they are fewer, without writing a cache."""
    positions, transform = store.split(split), build_transform(pipeline)
    made = []
    for i in (positions[k % len(positions)] for k in range(count)):
        clip = run_transform(transform, store.keypoints(i), store.layout, store.ids[i], store.ids[i], store.scores(i))
        made.append(dict(inputs=torch.as_tensor(clip['inputs']),
                         data_samples=dict(index=int(i), num_frames=int(clip['num_frames']))))
    return default_collate(made)


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _seconds(run: Callable[[], object], device: str) -> float:
    """Return the median time of some calls after a first one."""
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        run()
        if device != 'cpu':
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
