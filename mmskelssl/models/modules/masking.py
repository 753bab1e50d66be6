"""Which tokens of a clip a masked model must predict."""
import torch
from torch import Tensor


def motion_weights(patches: Tensor) -> Tensor:
    """Measure the motion of each token (MAMP, Mao et al., ICCV 2023, section 3.3).

    Args:
        patches: (P, T', V, C * l).

    Returns:
        (P, T', V), the mean absolute difference to the preceding patch of the same joint. The first patch has the
        motion of the second.
    """
    if patches.shape[1] < 2:
        return patches.new_zeros(patches.shape[:3])
    change = patches.diff(dim=1).abs().mean(3)
    return torch.cat([change[:, :1], change], 1)


def draw_visible(weights: Tensor, valid: Tensor, keep: int, tau: float, generator: torch.Generator) -> Tensor:
    """Draw the tokens that stay visible. Tokens that move more are more likely to be masked.

    Tokens are masked without replacement with probabilities softmax(weight / (largest weight of the clip * tau)),
    by the Gumbel-max trick. Tokens without information are masked first.

    Args:
        weights: (P, L) motion of each token.
        valid: (P, L) bool, tokens with information.
        keep: Number of tokens to keep.
        tau: Temperature. 0 ignores motion and masks at random.
        generator: Source of random numbers.

    Returns:
        (P, keep) indices of visible tokens.
    """
    noise = torch.empty_like(weights).exponential_(generator=generator).log().neg()  # Gumbel noise
    if tau:
        noise = noise + weights / (weights.amax(1, keepdim=True).clamp(min=1e-12) * tau)
    return noise.masked_fill(~valid, torch.inf).topk(keep, 1, largest=False).indices
