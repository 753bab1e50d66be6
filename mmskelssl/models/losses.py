"""Losses as pure functions of tensors. N samples, D dimensions, K queue entries.

All of them compute in float32 (float64 stays float64), whatever the autocast context: at temperatures of 0.04 to
0.2 the eight mantissa bits of bfloat16 would be visible in the logits.
"""
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def widen(x):
    """A half-precision tensor in float32; anything else as it is."""
    return x.float() if isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16) else x


def full_precision(function):
    """Run a loss outside autocast, its half-precision arguments widened to float32."""
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        device = next(a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*map(widen, args), **{key: widen(value) for key, value in kwargs.items()})
    return wrapper


@full_precision
def contrast_logits(query: Tensor, key: Tensor, negatives: Tensor, temperature: float,
                    in_batch: bool = False, extra: Tensor | None = None) -> Tensor:
    """Similarities of each query to its key (column 0) and to the negatives.

    Args:
        query, key: (N, D), L2-normalised.
        negatives: (D, K).
        in_batch: Also take the other samples' keys as negatives: N - 1 more columns. They are as fresh as the
            positive, so that telling new keys from old ones solves nothing (a small data set's short cut).
        extra: (N, D), one more negative for each query alone.

    Returns:
        (N, 1 + K), and N - 1 more columns for ``in_batch``, one more for ``extra``; divided by the temperature.
    """
    columns = [(query * key).sum(1, keepdim=True), query @ negatives]
    if in_batch and len(query) > 1:
        others = ~torch.eye(len(query), dtype=torch.bool, device=query.device)
        columns.append((query @ key.t())[others].view(len(query), -1))
    if extra is not None:
        columns.append((query * extra).sum(1, keepdim=True))
    return torch.cat(columns, 1) / temperature


@full_precision
def info_nce(logits: Tensor, positives: Tensor | None = None) -> Tensor:
    """InfoNCE with column 0 as the positive, or with every column of the mask ``positives`` (N, columns) as one.

    Several positives share the loss equally (AimCLR, section 3.3).
    """
    if positives is None:
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
    log_prob = F.log_softmax(logits, 1)
    return -((log_prob * positives).sum(1) / positives.sum(1)).mean()


@full_precision
def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (SimCLR, Chen et al., ICML 2020, equation 1).

    Each of the 2N embeddings has to find its clip's other view among the 2N - 1 others.

    Args:
        first, second: (N, D), L2-normalised: two views of the same clips.
    """
    both = torch.cat([first, second])
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    logits = (both @ both.t() / temperature).masked_fill(itself, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(both), device=both.device).roll(len(first)))


@full_precision
def ddm(logits: Tensor, target_logits: Tensor) -> Tensor:
    """Distributional divergence minimisation (AimCLR, section 3.2): cross entropy to a detached view's softmax."""
    return -(F.softmax(target_logits.detach(), 1) * F.log_softmax(logits, 1)).sum(1).mean()


@full_precision
def select_teacher(key: Tensor, negatives: Tensor, topk: int = 8192, exclude_above: float = 0.95,
                   ordered: bool = True):
    """The queue entries most similar to a teacher embedding.

    Args:
        key: (N, D), L2-normalised. negatives: (D, K).
        topk: Entries kept; the whole queue if it is shorter.
        exclude_above: Similarities above this become -1: near-duplicates of the key.
        ordered: The nearest first; otherwise in any order, which is found sooner.

    Returns:
        Similarities (N, topk) and their queue indices (N, topk).
    """
    similarity = key @ negatives
    similarity.masked_fill_(similarity > exclude_above, -1.)
    topk = min(topk, similarity.shape[1])
    if ordered or similarity.is_cuda:
        return similarity.topk(topk, 1, sorted=ordered)
    chosen = _largest(similarity, topk)
    return similarity.gather(1, chosen), chosen


def _largest(x: Tensor, k: int) -> Tensor:
    """(N, k) columns of the largest values of each row, from left to right; on a CPU ten times faster than ``topk``.

    NumPy partitions bare numbers with vector instructions, torch pairs of number and index without.
    """
    last = np.partition(x.numpy(), x.shape[1] - k, 1)[:, x.shape[1] - k]
    chosen = x >= torch.from_numpy(last).unsqueeze(1)
    if int(chosen.count_nonzero()) != len(x) * k:  # a tie for the last place
        return x.topk(k, 1, sorted=False).indices
    return torch.from_numpy(np.flatnonzero(chosen.numpy())).view(len(x), k) % x.shape[1]


@full_precision
def similarity_kl(student: Tensor, teacher: Tensor, student_temperature: float = 0.1,
                  teacher_temperature: float = 0.04, squared: bool = True) -> Tensor:
    """KL divergence from the teacher's to the student's distribution over the same queue entries (ActCLR, 3.3).

    Args:
        student: (N, topk) cosines with gradient. teacher: (N, topk) cosines.
        squared: Square the student's cosines first, as the published code does.
    """
    student = student.square() if squared else student
    return F.kl_div(F.log_softmax(student / student_temperature, 1), F.softmax(teacher / teacher_temperature, 1),
                    reduction='batchmean')


def queue_similarity_kl(queries: Sequence[Tensor], keys: Sequence[Tensor], negatives: Tensor, topk: int = 8192,
                        temperatures: tuple[float, float] = (0.1, 0.04)) -> list[Tensor]:
    """:func:`similarity_kl` of each query and its key's nearest queue entries (:func:`select_teacher`).

    Args:
        queries, keys: Pairs of (N, D), L2-normalised. Pairs that share a key (the same tensor) share its selection.
        negatives: (D, K). It may change after the call: the gradients are made at once.
        temperatures: Student's and teacher's.

    Returns:
        One scalar a pair.
    """
    teachers = {}
    for key in keys:
        if id(key) not in teachers:
            teachers[id(key)] = select_teacher(key.detach(), negatives, topk, ordered=False)
    losses = _QueueKL.apply(torch.cat([widen(query) for query in queries]), negatives, temperatures,
                            [teachers[id(key)] for key in keys])
    return list(losses.unbind())


class _QueueKL(torch.autograd.Function):
    """Losses (pairs,) of stacked queries (pairs * N, D), whose gradient is computed with them.

    It needs no (N, K) tensor and no copy of the queue until the backward pass. With p the teacher's and q the student's
    distribution of squared cosines s, dL / ds = 2 s (q - p) / (N * temperature).
    """

    @staticmethod
    def forward(ctx, queries: Tensor, negatives: Tensor, temperatures, teachers) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            similarity = queries @ negatives
            losses, slope = [], torch.zeros_like(similarity)
            for part, into, (teacher, chosen) in zip(similarity.chunk(len(teachers)), slope.chunk(len(teachers)),
                                                     teachers, strict=True):
                student = part.gather(1, chosen)
                log_q = F.log_softmax(student.square() / temperatures[0], 1)
                p = F.softmax(teacher / temperatures[1], 1)
                losses.append(F.kl_div(log_q, p, reduction='batchmean'))
                into.scatter_(1, chosen, student * (log_q.exp() - p) * (2 / (temperatures[0] * len(part))))
            ctx.save_for_backward(slope @ negatives.t())
            return torch.stack(losses)

    @staticmethod
    def backward(ctx, grad: Tensor):
        gradient, = ctx.saved_tensors
        return (gradient.view(len(grad), -1) * grad.unsqueeze(1)).view_as(gradient), None, None, None


@full_precision
def masked_reconstruction(prediction: Tensor, target: Tensor, num_frames: Tensor) -> Tensor:
    """Squared error summed over a clip's real frames and coordinates, over its length; mean over the batch (CRRL).

    Args:
        prediction, target: (N, T, D). What stands beyond a clip's end does not matter.
        num_frames: (N,) real frames, at least 1.
    """
    beyond = torch.arange(target.shape[1], device=target.device) >= num_frames.unsqueeze(1)
    # Masked before it is squared: not even infinity there reaches the gradient.
    error = (prediction - target).masked_fill(beyond.unsqueeze(2), 0.).square()
    return (error.sum((1, 2)) / num_frames).mean()


@full_precision
def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of features (N, D) to a detached teacher's, summed over D; mean over the batch (CRRL)."""
    return (student - teacher.detach()).square().sum(1).mean()
