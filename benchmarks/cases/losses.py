"""B6: ActCLR's three queue losses, forward and backward."""
import torch
from torch.nn import functional as F

from benchmarks.measure import Benchmark, Case, worst
from benchmarks.reference.actclr import enqueue, queue_loss
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.ops.queue_kl import queue_similarity_kl


def embeddings(n: int, dim: int, count: int, dtype: torch.dtype, seed: int = 0):
    """``count`` batches of unit vectors (N, D)."""
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1) for _ in range(count)]


def arms(n: int, size: int, topk: int, dtype: torch.dtype):
    """Both arms: loss and gradients of the three queries. The keys are enqueued at the end."""
    queue = FeatureQueue(128, size).to(dtype)
    *queries, key, mixed = embeddings(n, 128, 5, dtype)
    # Some teachers have a near-duplicate in the queue, which must be excluded.
    queue.keys[:n // 2] = F.normalize(key[:n // 2] + .01 * queue.keys[:n // 2], dim=1)
    queries = [query.requires_grad_() for query in queries]
    plain, pointer = queue.keys.t().contiguous(), torch.zeros(1, dtype=torch.long)

    def ours():
        losses = queue_similarity_kl(queries, (key, key, mixed), queue.keys.t(), topk)
        queue.enqueue(key)
        return torch.stack(losses), *torch.autograd.grad(sum(losses), queries)

    def reference():
        losses = [queue_loss(query, target, plain, topk)
                  for query, target in zip(queries, (key, key, mixed), strict=True)]
        enqueue(plain, pointer, key)
        return torch.stack(losses), *torch.autograd.grad(sum(losses), queries)

    return ours, reference


def make(quick: bool = False, n: int = 32, size: int = 65536, topk: int = 8192) -> Case:
    ours, reference = arms(n, size, topk, torch.float32)
    # Products with the queue: two teachers, three students, three gradients; the queue is read for each of them once.
    return Case(ours, reference, n, 2. * n * size * 128 * 8, 4. * size * 128 * 2 + 4. * n * size * 8)


def check(n: int = 6, size: int = 96, topk: int = 40) -> float:
    """Losses and gradients, with near-duplicates in the queue; then a second time, after the queue has advanced."""
    ours, reference = arms(n, size, topk, torch.float64)
    return max(worst(zip(ours(), reference(), strict=True)) for _ in range(2))


BENCHMARKS = {'B6': Benchmark('queue losses, forward and backward', make, check, .40, pairs=15)}
