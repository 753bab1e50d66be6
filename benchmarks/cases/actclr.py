"""B1: ActCLR's training step."""
import torch

from benchmarks.cases.clips import build, clips, preprocessor
from benchmarks.cases.steps import compare_steps, step_case
from benchmarks.measure import Benchmark, Case
from benchmarks.reference.actclr import PlainActCLR
from mmskelssl.augment import draw_mix, draw_shift

VIEWS = ('strong', 'normal', 'weak', 'key')


def config(hidden: int = 16, out_channels: int = 256, queue: int = 65536, topk: int = 8192, dropout: float = .5):
    """ActCLR as published, on views that are already made."""
    return dict(type='ActCLR', queue_size=queue, topk=topk, data_preprocessor=preprocessor(VIEWS),
                backbone=dict(type='STGCN', layout='ntu25', hidden_channels=hidden, out_channels=out_channels,
                              dropout=dropout))


def draws(model, n: int, frames: int, device: str = 'cpu') -> tuple:
    """Return the draws that the model will make in this iteration, in its order."""
    generator = model.data_preprocessor.generator(torch.device(device))
    state = generator.get_state()
    plan = draw_mix(n, frames, 5, generator).numbers()
    lender = draw_shift(n, torch.rand((), generator=generator, device=device).item())
    other = draw_mix(n, frames, 5, generator).numbers()
    generator.set_state(state)
    return plan, lender, other


def make(quick: bool = False, bf16: bool = False, batch: int = 32, frames: int = 50) -> Case:
    model = build(config())
    plain = PlainActCLR(model, dropout=.5)
    views = {name: clips(batch, frames, absent=.8, seed=i) for i, name in enumerate(VIEWS)}
    return step_case(model, plain, views, lambda: plain(views, draws(model, batch, frames)), bf16)


def check(batch: int = 4, frames: int = 50, **options) -> float:
    small = dict(queue=64, topk=24, hidden=8, out_channels=64)
    model = build(config(dropout=0., **{**small, **options}), dtype=torch.float64)
    plain = PlainActCLR(model, dropout=0.)

    def views(iteration: int) -> dict:
        return {name: clips(batch, frames, absent=.5, seed=10 * iteration + i).double() for i, name in enumerate(VIEWS)}

    return compare_steps(model, plain, views, lambda made: plain(made, draws(model, batch, frames)),
                         lambda: plain.queue.t(), {'backbone': 'backbone', 'projector.mlp': 'projector'})


BENCHMARKS = {
    'B1': Benchmark('ActCLR step, fp32', make, check, .50),
    'B1b': Benchmark('ActCLR step, bf16 / plain fp32', lambda quick: make(quick, bf16=True), check, .28),
}
