"""B13: MAMP's training step, and what its cheap decoder saves."""
import torch

from benchmarks.cases.clips import build, clips, preprocessor
from benchmarks.cases.steps import progress, sgd, step_case
from benchmarks.measure import Benchmark, Case, difference, gradients
from benchmarks.reference.mamp import PlainMAMP, cross_decode
from mmskelssl.models.methods.mamp import take

PARTS = {name: name for name in ('backbone.patch', 'backbone.blocks', 'backbone.norm', 'bridge', 'decoder',
                                 'decoder_norm', 'head')}
TABLES = ('mask_token', 'decoder_joints', 'backbone.joints')


def config(size: str = 'small', mask_ratio: float = .9, sizes: tuple[int, int, int] = (128, 2, 4),
           **options) -> dict:
    """MAMP with the encoder ``size``, and a decoder of these channels, depth and heads."""
    channels, depth, heads = sizes
    return dict(type='MAMP', mask_ratio=mask_ratio, tau=.8, decoder_channels=channels, decoder_depth=depth,
                decoder_heads=heads, **options, data_preprocessor=preprocessor(['clip']),
                backbone=dict(type='SkeletonViT', layout='ntu25', size=size))


def noise(model, views: dict) -> torch.Tensor:
    """What the model draws for the present persons in its next step."""
    present = int((views['clip'] != 0).any(3).any(2).any(1).sum())
    return model.draw(views)['noise'][:present]


def make(quick: bool = False, bf16: bool = False, batch: int = 16, frames: int = 64) -> Case:
    model = build(config())
    plain, views = PlainMAMP(model), dict(clip=clips(batch, frames, absent=.75))
    return step_case(model, plain, views, lambda: plain(views['clip'], noise(model, views)), bf16,
                     products=True)


def check(batch: int = 3, frames: int = 16) -> float:
    """Largest difference of the loss and every gradient in two steps."""
    model = build(config('tiny', .75, (16, 2, 2)), dtype=torch.float64)
    plain, found = PlainMAMP(model), []
    optimizers = sgd(model), sgd(plain)
    for iteration in range(2):
        views = dict(clip=clips(batch, frames, absent=.6, seed=iteration).double())
        model.set_progress(progress(iteration))
        theirs = plain(views['clip'], noise(model, views))
        model.set_progress(progress(iteration))
        ours = model.loss(views, {})['loss']
        theirs.backward()
        ours.backward()
        found += [difference(ours, theirs), gradients(model, plain, PARTS),
                  *(difference(model.get_parameter(name).grad, plain.get_parameter(name).grad) for name in TABLES)]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return max(found)


def make_cross(quick: bool = False, batch: int = 16, frames: int = 64) -> Case:
    """A step with a decoder of cross-attention, and one with the paper's."""
    cross, paper = build(config(decoder='cross', decoder_span=4)), build(config())
    views = dict(clip=clips(batch, frames, absent=.75))
    return step_case(cross, paper, views, lambda: paper.loss(views, {})['loss'], False, products=True)


def check_cross() -> float:
    """Largest difference of what the two statements of the decoder predict."""
    model = build(config('tiny', .75, (16, 2, 2), decoder='cross', decoder_span=3), dtype=torch.float64)
    patches, valid = model.backbone.patches(clips(2, 16, absent=.5).double())
    visible = torch.stack([torch.randperm(valid.shape[1])[:20] for _ in valid])
    times = model.backbone.times(valid.shape[1]).expand(len(valid), -1)
    encoded = take(model.backbone.embed(patches), visible)
    return difference(model.cross_decode(encoded, visible, valid, times), cross_decode(model, encoded, visible, valid))


BENCHMARKS = {
    'B13': Benchmark('MAMP step, fp32', make, check, .60),
    'B13b': Benchmark('MAMP step, bf16 / plain fp32', lambda quick: make(quick, bf16=True), check, None),
    'B13c': Benchmark('MAMP step, decoder of cross-attention / of the paper', make_cross, check_cross, None),
}
