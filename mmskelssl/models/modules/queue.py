"""Queue of negative keys (MoCo)."""
import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureQueue(nn.Module):
    """Ring of the last ``size`` L2-normalised keys, identical on every rank.

    Any number of keys can enter at once: the ring wraps, and of more keys than it has places the last remain.

    Args:
        dim: Length of a key.
        size: Number of keys, K. It starts with random directions, the same on every rank.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, dim: int, size: int):
        super().__init__()
        start = torch.empty(size, dim)
        if not start.is_meta:  # where only shapes are wanted, there is no generator
            start.normal_(generator=torch.Generator(start.device).manual_seed(0))
        self.register_buffer('keys', F.normalize(start, dim=1))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.keys)

    def negatives(self) -> Tensor:
        """(D, K) snapshot, which a later :meth:`enqueue` leaves alone (autograd needs it until backward)."""
        return self.keys.clone().t()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by ``keys`` (N, D), gathered over all ranks in rank order."""
        keys = keys.detach().to(self.keys.dtype)
        if get_world_size() > 1:
            keys = torch.cat(all_gather(keys))
        keys = keys[-len(self):] if len(self) else keys[:0]
        if len(keys):
            places = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self)
            self.keys[places] = keys
            self.pointer.add_(len(keys)).remainder_(len(self))
