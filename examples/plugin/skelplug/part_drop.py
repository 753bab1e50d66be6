"""An augmentation: a body part is missing, as if hidden from the camera."""
import torch

from mmskelssl.augment import BatchAugment
from mmskelssl.augment.base import integers
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class PartDrop(BatchAugment):
    """Set the joints of one random body part of each clip to zero, for the whole clip and every person."""
    needs_layout = True

    def __init__(self, p: float = 0.5, layout=None):
        super().__init__(p, layout)

    def draw(self, x, generator):
        """part (N,): index into ``layout.parts``."""
        if not self.layout.parts:
            raise UserError(f'PartDrop: layout {self.layout.name!r} has no body parts: give it `parts`')
        return dict(part=integers(x, generator, len(self.layout.parts)))

    def apply(self, x, part):
        # The part of each joint, (V,): a table made from the layout, so it works for any skeleton.
        owner = torch.empty(self.layout.num_joints, dtype=torch.long, device=x.device)
        for i, joints in enumerate(self.layout.parts.values()):
            owner[list(joints)] = i
        kept = owner != part.unsqueeze(1)  # (N, V)
        return x * kept.view(len(x), 1, 1, -1, 1)
