"""Augmentations that choose among the persons of a clip."""
import torch
from torch import Tensor

from mmskelssl.augment.base import BatchAugment
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class PickPerson(BatchAugment):
    """Keep one person of each clip, drawn from those who are present: (N, C, T, V, M) -> (N, C, T, V, 1).

    Args:
        origin: Canonical name of a joint (:mod:`mmskelssl.layouts.canonical`). The person is moved so that this joint
            is at the origin in the first frame in which the person is present. By default, nobody is moved.
    """

    moves = True

    def __init__(self, origin: str | None = None, p: float = 1.0, layout=None):
        if p != 1:
            raise UserError('PickPerson: p must be 1, because clips of different numbers of persons cannot form a '
                            f'batch, got {p}')
        self.origin, self.needs_layout = origin, origin is not None
        super().__init__(p, layout)

    def bind(self, layout):
        super().bind(layout)
        if self.origin is not None and self.origin not in self.layout.named:
            known = sorted(self.layout.named, key=self.layout.named.__getitem__)
            raise UserError(f'PickPerson: layout {self.layout.name} has no joint {self.origin!r}: choose one of '
                            f'{", ".join(known) or "none"}')
        return self

    def draw(self, x, generator):
        """Draw ``person`` (N,), an index. A clip without any person keeps its first one."""
        present = (x != 0).flatten(1, 3).any(1)
        share = torch.rand(len(x), x.shape[4], generator=generator, device=x.device)
        return dict(person=share.masked_fill(~present, -1).argmax(1))

    def apply(self, x, person):
        picked = take_person(x, person)
        if self.origin is None:
            return picked
        here = (picked != 0).any(3, keepdim=True).any(1, keepdim=True)  # (N, 1, T, 1, 1)
        first = here.flatten(1).to(torch.uint8).argmax(1)
        joint = picked[torch.arange(len(x), device=x.device), :, first, self.layout.named[self.origin]]
        return (picked - joint[:, :, None, None]) * here

    def apply_scores(self, scores, person):
        return take_person(scores, person)


def take_person(x: Tensor, person: Tensor) -> Tensor:
    """Select person (N,) of each clip: (N, C, T, V, M) -> (N, C, T, V, 1)."""
    return x.gather(4, person.view(-1, 1, 1, 1, 1).expand(*x.shape[:4], 1))
