"""B3: features in eval mode, where the second person is absent in three of eight clips."""
import torch

from benchmarks.cases.actclr import config
from benchmarks.cases.clips import build, clips
from benchmarks.measure import Benchmark, Case, count_flops, difference
from benchmarks.reference.stgcn import plain_copy, pool


def moved(options: dict, dtype: torch.dtype):
    """A model in eval mode whose BN statistics differ from the initial ones."""
    model = build(config(queue=64, **options), dtype=dtype)
    with torch.no_grad():
        for i in range(3):
            model.backbone(clips(4, 16, seed=i).to(dtype))
    return model.eval()


def make(quick: bool = False, batch: int = 32, frames: int = 50) -> Case:
    model = moved({}, torch.float32)
    plain, x = plain_copy(model.backbone, .5).eval(), clips(batch, frames, absent=.75)

    def ours():
        with torch.no_grad():
            return model.extract_feat(x)

    def reference():
        with torch.no_grad():
            return pool(plain(x), 2)

    return Case(ours, reference, batch, count_flops(ours),
                extra=dict(difference=difference(ours(), reference())))


def check(batch: int = 6, frames: int = 50, **options) -> float:
    """In float64, on clips with no person, one person and both persons."""
    model = moved(options, torch.float64)
    x = clips(batch, frames, absent=.5).double()
    x[0] = 0
    plain = plain_copy(model.backbone, .5).eval()
    with torch.no_grad():
        return max(difference(model.extract_feat(part), pool(plain(part), 2)) for part in (x, x[:1], x[1:2]))


BENCHMARKS = {'B3': Benchmark('feature extraction, eval', make, check, .30, 1e-5, 31)}
