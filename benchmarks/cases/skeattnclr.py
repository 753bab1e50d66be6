"""B2: SkeAttnCLR's training step."""
import torch

from benchmarks.cases.clips import build, clips, preprocessor
from benchmarks.cases.steps import compare_steps, step_case
from benchmarks.measure import Benchmark, Case
from benchmarks.reference.skeattnclr import PlainSkeAttnCLR

VIEWS = ('query', 'key', 'mixed')
PARTS = {'backbone': 'backbone', 'projector.mlp': 'projector', 'attention': 'attention',
         **{f'predictors.{name}.mlp': f'predictors.{name}' for name in ('whole', 'salient', 'rest')}}


def config(hidden: int = 64, out_channels: int = 256, queue: int = 32768, dropout: float = .5, weight: float = .5):
    """SkeAttnCLR as published, on views that are already made."""
    return dict(type='SkeAttnCLR', queue_size=queue, temperature=.2, local_weight=weight,
                projector=dict(hidden_channels=256, out_channels=128, norm=True),
                momentum=dict(momentum=.996, buffers='ema'), data_preprocessor=preprocessor(VIEWS),
                backbone=dict(type='STGCN', layout='ntu25', hidden_channels=hidden, out_channels=out_channels,
                              adjacency='agcn', dropout=dropout))


def make(quick: bool = False, bf16: bool = False, batch: int = 8, frames: int = 64) -> Case:
    model = build(config())
    plain = PlainSkeAttnCLR(model, dropout=.5)
    views = {name: clips(batch, frames, absent=.8, seed=i) for i, name in enumerate(VIEWS)}
    return step_case(model, plain, views, lambda: plain(views), bf16)


def check(batch: int = 3, frames: int = 64, **options) -> float:
    model = build(config(dropout=0., **{'queue': 48, 'hidden': 8, 'out_channels': 64, **options}), dtype=torch.float64)
    plain = PlainSkeAttnCLR(model, dropout=0.)

    def views(iteration: int) -> dict:
        return {name: clips(batch, frames, absent=.5, seed=10 * iteration + i).double() for i, name in enumerate(VIEWS)}

    return compare_steps(model, plain, views, plain, lambda: plain.queues[0].t(), PARTS)


BENCHMARKS = {
    'B2': Benchmark('SkeAttnCLR step, fp32', make, check, .58),
    'B2b': Benchmark('SkeAttnCLR step, bf16 / plain fp32', lambda quick: make(quick, bf16=True), check, .30),
}
