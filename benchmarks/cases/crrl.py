"""B2c: both stages of CRRL on clips of different lengths."""
import itertools

import torch

from benchmarks.cases.clips import build, clips, preprocessor
from benchmarks.cases.steps import progress, sgd, step
from benchmarks.measure import Benchmark, Case, difference, gradients
from benchmarks.reference.crrl import PlainFusion, PlainMotion

MOTION = {'backbone.gru': 'gru', 'projector.mlp': 'head'}
FUSION = {'backbone.gru': 'gru', 'decoder.gru': 'decoder', 'head.mlp': 'head'}


def models(hidden: int, dropout: float, dtype: torch.dtype):
    """Stage 1 and stage 2 as published."""
    backbone = dict(type='BiGRU', layout='ntu25', num_persons=2, hidden_channels=hidden, dropout=dropout)
    wide = dict(hidden_channels=2 * hidden, out_channels=2 * hidden)
    motion = dict(type='CRRLMotion', backbone=backbone, projector=wide, queue_size=64, temperature=.1,
                  momentum=dict(momentum=.999), data_preprocessor=preprocessor(('query', 'key')))
    fusion = dict(type='CRRL', backbone=backbone, head=wide, teacher_dropout=True,
                  data_preprocessor=preprocessor(('clip',)))
    return build(motion, dtype=dtype), build(fusion, seed=1, dtype=dtype)


def lengths_like_ntu(n: int, longest: int, seed: int = 0) -> torch.Tensor:
    """(N,) frames: skewed, with a mean of 83 out of 300 as in NTU60; longest first, as in a packed batch."""
    shares = torch.distributions.Beta(2., 5.2)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = (shares.sample((n,)) * longest).long().clamp(min(8, longest), longest)
    return made.sort(descending=True).values


def batch_of(n: int, longest: int, dtype: torch.dtype, padded: int | None = None):
    """Clips for our arm; frames, velocities and reversed frames for the reference; and the lengths."""
    lengths = lengths_like_ntu(n, longest)
    clip = clips(n, padded or longest).to(dtype) * .3
    clip = clip * (torch.arange(clip.shape[2]) < lengths[:, None]).view(n, 1, -1, 1, 1)
    frames = clip.permute(0, 2, 4, 3, 1).reshape(n, clip.shape[2], -1)
    velocity, backwards = torch.zeros_like(frames), torch.zeros_like(frames)
    for row, length in enumerate(lengths.tolist()):
        velocity[row, :length - 1] = frames[row, 1:length] - frames[row, :length - 1]
        backwards[row, :length] = frames[row, :length].flip(0)
    return clip, frames, velocity, backwards, lengths


def make(quick: bool = False, n: int = 32, longest: int = 300) -> Case:
    motion, fusion = models(256, .2, torch.float32)
    plain = PlainMotion(motion), PlainFusion(fusion)
    clip, frames, velocity, backwards, lengths = batch_of(n, longest, torch.float32)
    optimizers = [sgd(model) for model in (motion, fusion, *plain)]
    iterations = itertools.count()

    def ours():
        samples = dict(num_frames=lengths)
        motion.set_progress(progress(next(iterations)))
        step(motion, optimizers[0], dict(query=clip, key=clip), samples)
        step(fusion, optimizers[1], dict(clip=clip), samples)

    def reference():
        for model, optimizer, inputs in ((plain[0], optimizers[2], (frames, velocity)),
                                         (plain[1], optimizers[3], (frames, backwards))):
            loss = model(*inputs, lengths)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    real, gru, decoder = int(lengths.sum()), 1_809_408, 434_700
    # Six passes (query and student: forward and twice that backward) and three without gradient, over real frames.
    flops = 2. * real * (gru * (3 + 1 + 3 + 1) + 2 * decoder * 3)
    return Case(ours, reference, n, flops)


def check(n: int = 5, longest: int = 21, hidden: int = 48) -> float:
    """Losses, every gradient and the queue, of both stages; clips padded beyond the longest."""
    motion, fusion = models(hidden, 0., torch.float64)
    clip, frames, velocity, backwards, lengths = batch_of(n, longest, torch.float64, longest + 3)
    found, samples = [], dict(num_frames=lengths)
    for model, plain, views, inputs, names in (
            (motion, PlainMotion(motion), dict(query=clip, key=clip), (frames, velocity), MOTION),
            (fusion, PlainFusion(fusion), dict(clip=clip), (frames, backwards), FUSION)):
        theirs = plain(*inputs, lengths)
        theirs.backward()
        total = sum(value for name, value in model.loss(views, samples).items() if 'loss' in name)
        total.backward()
        found += [difference(total, theirs), gradients(model, plain, names)]
        if model is motion:
            found.append(difference(model.queue.keys[:n], plain.queue[:, :n].t()))
    return max(found)


BENCHMARKS = {'B2c': Benchmark('CRRL, both stages, up to 300 frames', make, check, .60)}
