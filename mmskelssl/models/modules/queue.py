"""Queue of negative keys (MoCo)."""
import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureQueue(nn.Module):
    """Ring buffer of the last ``size`` L2-normalised keys, identical on every rank.

    Any number of keys can be added at once. The buffer wraps around. If there are more new keys than places, it keeps
    the last ones.

    Args:
        dim: Length of a key.
        size: Number of keys, K. Initially they are random directions, the same on every rank.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, dim: int, size: int):
        super().__init__()
        start = torch.empty(size, dim)
        if not start.is_meta:  # the meta device, used to compute shapes only, has no generator
            start.normal_(generator=torch.Generator(start.device).manual_seed(0))
        self.register_buffer('keys', F.normalize(start, dim=1))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.keys)

    def negatives(self) -> Tensor:
        """Return a snapshot (D, K) of the keys.

        A later :meth:`enqueue` does not change it, because autograd needs it until the backward pass.
        """
        return self.keys.clone().t()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> Tensor:
        """Replace the oldest keys with ``keys`` (N, D), gathered from all ranks in rank order.

        Returns:
            The places of the keys. If there are more keys than places, these are the places of the last keys.
        """
        keys = keys.detach().to(self.keys.dtype)
        if get_world_size() > 1:
            keys = torch.cat(all_gather(keys))
        keys = keys[-len(self):] if len(self) else keys[:0]
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % max(len(self), 1)
        self.keys[places] = keys
        self.pointer.add_(len(keys)).remainder_(max(len(self), 1))
        return places
