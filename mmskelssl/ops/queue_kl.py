"""ActCLR's similarity loss (CVPR 2023, section 3.3): KL divergence between similarities to a queue.

Shapes use N samples, D dimensions and K queue entries.
"""
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.ops.precision import full_precision, widen, without_autocast
from mmskelssl.ops.selection import largest


@full_precision
def select_teacher(key: Tensor, negatives: Tensor, topk: int = 8192, exclude_above: float = 0.95,
                   ordered: bool = True) -> tuple[Tensor, Tensor]:
    """Select the queue entries most similar to a teacher embedding.

    Args:
        key: (N, D), L2-normalised.
        negatives: (D, K).
        topk: Number of entries to select. A shorter queue is used in full.
        exclude_above: Similarities above this value, from near-duplicates of the key, are set to -1.
        ordered: Sort by similarity, nearest first. Otherwise the order is arbitrary, which is faster
            (:func:`largest`).

    Returns:
        Similarities (N, topk) and their queue indices (N, topk).
    """
    similarity = key @ negatives
    similarity.masked_fill_(similarity > exclude_above, -1.)
    topk = min(topk, similarity.shape[1])
    if ordered:
        return similarity.topk(topk, 1)
    chosen = largest(similarity, topk)
    return similarity.gather(1, chosen), chosen


@full_precision
def similarity_kl(student: Tensor, teacher: Tensor, student_temperature: float = 0.1,
                  teacher_temperature: float = 0.04, squared: bool = True) -> Tensor:
    """Compute the KL divergence from the teacher's to the student's distribution over the same queue entries.

    Args:
        student: (N, topk) cosines with gradient.
        teacher: (N, topk) cosines.
        student_temperature, teacher_temperature: Divisors of the cosines.
        squared: Square the student's cosines first, as in the published code.
    """
    student = student.square() if squared else student
    return F.kl_div(F.log_softmax(student / student_temperature, 1), F.softmax(teacher / teacher_temperature, 1),
                    reduction='batchmean')


def plain_queue_similarity_kl(queries: Sequence[Tensor], keys: Sequence[Tensor], negatives: Tensor, topk: int = 8192,
                              temperatures: tuple[float, float] = (0.1, 0.04)) -> list[Tensor]:
    """Compute :func:`similarity_kl` for each query over the queue entries nearest to its key (:func:`select_teacher`).

    Args:
        queries, keys: Pairs of tensors (N, D), L2-normalised.
        negatives: (D, K). It must not change before the backward pass.
        topk: Number of queue entries to compare.
        temperatures: Temperatures of the student and the teacher.

    Returns:
        One scalar per pair.
    """
    losses = []
    for query, key in zip(queries, keys, strict=True):
        teacher, chosen = select_teacher(key.detach(), negatives, topk)
        losses.append(similarity_kl((widen(query) @ negatives).gather(1, chosen), teacher, *temperatures))
    return losses


def queue_similarity_kl(queries: Sequence[Tensor], keys: Sequence[Tensor], negatives: Tensor, topk: int = 8192,
                        temperatures: tuple[float, float] = (0.1, 0.04)) -> list[Tensor]:
    """Compute :func:`plain_queue_similarity_kl` with one product for all queries and one selection per distinct key.

    The gradients are computed together with the losses, so ``negatives`` may change after the call.
    """
    if torch.compiler.is_compiling():
        return plain_queue_similarity_kl(queries, keys, negatives.clone(), topk, temperatures)
    teachers = {}
    for key in keys:
        if id(key) not in teachers:
            teachers[id(key)] = select_teacher(key.detach(), negatives, topk, ordered=False)
    losses = _QueueKL.apply(torch.cat([widen(query) for query in queries]), negatives, temperatures,
                            [teachers[id(key)] for key in keys])
    return list(losses.unbind())


class _QueueKL(torch.autograd.Function):
    """Losses (pairs,) of stacked queries (pairs * N, D). The gradient is computed in the forward pass.

    No (N, K) tensor and no copy of the queue is kept until the backward pass. With the teacher's distribution p and
    the student's distribution q over squared cosines s, dL / ds = 2 s (q - p) / (N * temperature).
    """

    @staticmethod
    def forward(ctx, queries: Tensor, negatives: Tensor, temperatures, teachers) -> Tensor:
        with without_autocast(queries):
            similarity = queries @ negatives
            losses = []
            for part, (teacher, chosen) in zip(similarity.chunk(len(teachers)), teachers, strict=True):
                student = part.gather(1, chosen)
                log_q = F.log_softmax(student.square() / temperatures[0], 1)
                p = F.softmax(teacher / temperatures[1], 1)
                losses.append(F.kl_div(log_q, p, reduction='batchmean'))
                # The slope takes the place of the similarity, which saves the time to get as much memory again.
                part.zero_().scatter_(1, chosen, student * (log_q.exp() - p) * (2 / (temperatures[0] * len(part))))
            ctx.save_for_backward(similarity @ negatives.t())
            return torch.stack(losses)

    @staticmethod
    def backward(ctx, grad: Tensor):
        gradient, = ctx.saved_tensors
        return (gradient.view(len(grad), -1) * grad.unsqueeze(1)).view_as(gradient), None, None, None
