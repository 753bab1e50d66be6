"""B2: SkeAttnCLR's training step."""
import itertools

import torch

from benchmarks.cases.clips import build, clips, preprocessor, progress, sgd, step
from benchmarks.measure import Benchmark, Case, count_flops, difference, gradients
from benchmarks.reference.skeattnclr import PlainSkeAttnCLR

VIEWS = ('query', 'key', 'mixed')
PARTS = {'backbone': 'backbone', 'projector.mlp': 'projector', 'attention': 'attention',
         **{f'predictors.{name}.mlp': f'predictors.{name}' for name in ('whole', 'salient', 'rest')}}


def config(hidden: int = 64, out_channels: int = 256, queue: int = 32768, dropout: float = .5, weight: float = .5):
    """SkeAttnCLR as published, the views made already."""
    return dict(type='SkeAttnCLR', queue_size=queue, temperature=.2, local_weight=weight,
                projector=dict(hidden_channels=256, out_channels=128, norm=True),
                momentum=dict(momentum=.996, buffers='ema'), data_preprocessor=preprocessor(VIEWS),
                backbone=dict(type='STGCN', layout='ntu25', hidden_channels=hidden, out_channels=out_channels,
                              adjacency='agcn', dropout=dropout))


def make(quick: bool = False, bf16: bool = False, batch: int = 8, frames: int = 64) -> Case:
    model = build(config())
    plain = PlainSkeAttnCLR(model, dropout=.5)
    views = {name: clips(batch, frames, absent=.8, seed=i) for i, name in enumerate(VIEWS)}
    ours_optimizer, plain_optimizer = sgd(model), sgd(plain)
    iterations = itertools.count()

    def ours():
        model.set_progress(progress(next(iterations)))
        step(model, ours_optimizer, views, bf16=bf16)

    def reference():
        loss = plain(views)
        plain_optimizer.zero_grad()
        loss.backward()
        plain_optimizer.step()

    return Case(ours, reference, batch, count_flops(ours), dtype=torch.bfloat16 if bf16 else torch.float32)


def check(batch: int = 3, frames: int = 64, **options) -> float:
    """Loss, every gradient and the queue after two steps, the weights moving in between."""
    model = build(config(dropout=0., **{'queue': 48, 'hidden': 8, 'out_channels': 64, **options}), dtype=torch.float64)
    plain, found = PlainSkeAttnCLR(model, dropout=0.), []
    optimizers = sgd(model), sgd(plain)
    for iteration in range(2):
        views = {name: clips(batch, frames, absent=.5, seed=10 * iteration + i).double()
                 for i, name in enumerate(VIEWS)}
        theirs = plain(views)
        theirs.backward()
        losses = model.loss(views, {})
        total = sum(value for name, value in losses.items() if 'loss' in name)
        total.backward()
        found += [difference(total, theirs), difference(model.queue.keys, plain.queues[0].t()),
                  gradients(model, plain, PARTS)]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return max(found)


BENCHMARKS = {
    'B2': Benchmark('SkeAttnCLR step, fp32', make, check, .58),
    'B2b': Benchmark('SkeAttnCLR step, bf16 / plain fp32', lambda quick: make(quick, bf16=True), check, .30),
}
