"""Losses as pure functions of tensors, for N samples, D dimensions and K queue entries.

All losses compute in float32 (float64 stays float64), regardless of the autocast context. At temperatures of 0.04 to
0.2, the eight mantissa bits of bfloat16 would cause visible errors in the logits.

Negatives from the batch and statistics of the batch come from the batches of all processes
(:func:`~mmskelssl.models.modules.gather.gather`). The mean of the losses of several processes, and its gradient, are
those of one process with all their clips.
"""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.models.modules.gather import gather, own_rows
from mmskelssl.ops.precision import full_precision


@full_precision
def contrast_logits(query: Tensor, key: Tensor, negatives: Tensor, temperature: float,
                    in_batch: bool = False, extra: Tensor | None = None) -> Tensor:
    """Compute the similarities of each query to its key (column 0) and to the negatives.

    Args:
        query, key: (N, D), L2-normalised.
        negatives: (D, K).
        temperature: Divisor of the similarities.
        in_batch: Also use the keys of the other samples of all processes as negatives, which adds their number minus 1
            columns. They are as fresh as the positive. The model therefore cannot solve the task by telling new keys
            from old ones, a shortcut on small data sets.
        extra: (N, D), one additional negative per query.

    Returns:
        (N, 1 + K) similarities divided by the temperature. ``in_batch`` and ``extra`` add columns.
    """
    columns = [(query * key).sum(1, keepdim=True), query @ negatives]
    if in_batch:
        keys = gather(key)
        own, others = own_rows(len(key), key.device).unsqueeze(1), torch.arange(len(keys) - 1, device=key.device)
        # All columns but the own one. Selecting them with a mask would make the host wait for the device.
        columns.append((query @ keys.t()).gather(1, others + (others >= own)))
    if extra is not None:
        columns.append((query * extra).sum(1, keepdim=True))
    return torch.cat(columns, 1) / temperature


@full_precision
def info_nce(logits: Tensor, positives: Tensor | None = None) -> Tensor:
    """Compute the InfoNCE loss.

    Args:
        logits: (N, columns).
        positives: (N, columns) mask of the positives. By default, column 0 is the only positive. Several positives
            share the loss equally (AimCLR, section 3.3).
    """
    if positives is None:
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
    log_prob = F.log_softmax(logits, 1)
    return -((log_prob * positives).sum(1) / positives.sum(1)).mean()


@full_precision
def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Compute the normalised temperature-scaled cross entropy (SimCLR, Chen et al., ICML 2020, equation 1).

    Each of the 2N embeddings must identify the other view of its clip among all other embeddings, those of the other
    processes included.

    Args:
        first, second: (N, D), L2-normalised embeddings of two views of the same clips.
        temperature: Divisor of the similarities.
    """
    both, (firsts, seconds) = torch.cat([first, second]), (gather(first), gather(second))
    everyone = both if len(firsts) == len(first) else torch.cat([firsts, seconds])
    own = own_rows(len(first), both.device)
    own = torch.cat([own, own + len(firsts)])  # columns of the rows themselves
    itself = torch.arange(len(everyone), device=both.device) == own.unsqueeze(1)
    logits = (both @ everyone.t() / temperature).masked_fill(itself, -torch.inf)
    return F.cross_entropy(logits, (own + len(firsts)) % len(everyone))


@full_precision
def ddm(logits: Tensor, target_logits: Tensor) -> Tensor:
    """Compute the cross entropy with the softmax of a detached view.

    This is AimCLR's distributional divergence minimisation (section 3.2).
    """
    return -(F.softmax(target_logits.detach(), 1) * F.log_softmax(logits, 1)).sum(1).mean()


@full_precision
def masked_reconstruction(prediction: Tensor, target: Tensor, num_frames: Tensor) -> Tensor:
    """Compute the reconstruction error of CRRL, averaged over the batch.

    The error of a clip is the squared error summed over its real frames and coordinates, divided by its length.

    Args:
        prediction, target: (N, T, D). Values after a clip's last real frame are ignored.
        num_frames: (N,) number of real frames, at least 1.
    """
    beyond = torch.arange(target.shape[1], device=target.device) >= num_frames.unsqueeze(1)
    # Mask before squaring, so that not even an infinity in the padding reaches the gradient.
    error = (prediction - target).masked_fill(beyond.unsqueeze(2), 0.).square()
    return (error.sum((1, 2)) / num_frames).mean()


@full_precision
def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the squared distance between student and detached teacher features (N, D), as in CRRL.

    The distance is summed over D and averaged over the batch.
    """
    return (student - teacher.detach()).square().sum(1).mean()


@full_precision
def redundancy(first: Tensor, second: Tensor, off_diagonal: float) -> Tensor:
    """Compute the distance of the cross-correlation matrix of two views to the identity.

    Source: Barlow Twins (Zbontar et al., ICML 2021), section 2.1, equation 1.

    Args:
        first, second: (N, D), not normalised. Each dimension is standardised over the batches of all processes.
        off_diagonal: lambda, the weight of the D * (D - 1) products whose target is zero.
    """
    first, second = gather(first), gather(second)
    first, second = ((x - x.mean(0)) * (x.var(0, correction=0) + 1e-5).rsqrt() for x in (first, second))
    correlation = first.t() @ second / len(first)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + off_diagonal * (correlation.square().sum() - diagonal.square().sum())


@full_precision
def variance_hinge(z: Tensor) -> Tensor:
    """Compute how far the standard deviations of the dimensions of z (N, D) fall short of 1, averaged over them.

    Source: VICReg (Bardes et al., ICLR 2022), equations 1 and 2. The variance is unbiased, plus 1e-4, and over the
    batches of all processes.
    """
    z = gather(z)
    variance = z.var(0) if len(z) > 1 else z.new_zeros(z.shape[1])  # a single sample has no variance
    return F.relu(1 - (variance + 1e-4).sqrt()).mean()


@full_precision
def covariance_penalty(z: Tensor) -> Tensor:
    """Compute the sum of the squared covariances between different dimensions of z (N, D), divided by D.

    Source: VICReg (Bardes et al., ICLR 2022), equations 3 and 4. The covariances are over the batches of all processes.
    """
    z = gather(z)
    z = z - z.mean(0)
    covariance = z.t() @ z / max(len(z) - 1, 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]


@full_precision
def regression(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute BYOL's loss: 2 - 2 cos between predictions and targets (N, D), both L2-normalised.

    Source: Grill et al., NeurIPS 2020, equation 2.
    """
    return 2 - 2 * (prediction * target).sum(1).mean()


@full_precision
def assignment_loss(similarity: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Compute the cross entropy (N,) of softmax(similarity / temperature) with target assignments.

    Source: DINO (Caron et al., ICCV 2021), equation 2.

    Args:
        similarity: (N, K), the student's similarities to the prototypes.
        target: (N, K), the teacher's assignments. The rows sum to 1.
        temperature: Divisor of the similarities.
    """
    return -(target * F.log_softmax(similarity / temperature, 1)).sum(1)


@full_precision
def koleo(features: Tensor) -> Tensor:
    """Compute the negative mean logarithm of the distance of each sample to its nearest neighbour in the batch.

    The features (N, D) are L2-normalised first, and the neighbours are those in the batches of all processes.
    Minimising it spreads the features over the sphere (KoLeo; Sablayrolles et al., ICLR 2019). It is 0 for a single
    sample.
    """
    unit = F.normalize(features, dim=1)
    everyone = gather(unit)
    if len(everyone) < 2:
        return 0 * features.sum()
    itself = torch.arange(len(everyone), device=unit.device) == own_rows(len(unit), unit.device).unsqueeze(1)
    nearest = (unit @ everyone.t()).detach().masked_fill(itself, -torch.inf).argmax(1)
    return -(F.pairwise_distance(unit, everyone[nearest], eps=1e-6) + 1e-6).log().mean()
