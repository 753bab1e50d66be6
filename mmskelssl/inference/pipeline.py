"""The deterministic pipeline as a torch module, for models that take raw clips without this package."""
from collections.abc import Sequence

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor, nn

from mmskelssl.datasets.batch_pipeline import run_batch
from mmskelssl.datasets.transforms import FillUnseen, PreNormalize3D
from mmskelssl.datasets.transforms.clip_batch import ClipBatch, has_batch
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout

_KEPT = (FillUnseen, PreNormalize3D)  # they use operations that ONNX lacks, and PreNormalize3D changes the length


class TorchPipeline(nn.Module):
    """Prepare a raw clip (M, T, V, C) as the transforms of a pipeline do.

    It contains no branch that depends on values, so that ``torch.export`` can trace it for any M and T. A clip without
    a body, which the transforms refuse, gives NaN.

    Args:
        steps: Transforms, ending with PackSkeleton.
        layout: Layout of the clips.
        where: File that the pipeline comes from, for messages.

    Raises:
        UserError: If a transform cannot be exported.
    """

    def __init__(self, steps: Sequence[BaseTransform], layout: SkeletonLayout, where: str):
        super().__init__()
        self.steps, self.layout = list(steps), layout
        unknown = next((step for step in self.steps if isinstance(step, _KEPT) or not has_batch(step)), None)
        if unknown is not None:
            raise UserError(f'{where}: its pipeline has the step {type(unknown).__name__}, which cannot be exported; '
                            'export the encoder without --whole, which takes prepared clips')

    def forward(self, keypoint: Tensor) -> tuple[Tensor, Tensor]:
        """Prepare a clip.

        Args:
            keypoint: (M, T, V, C) float32. Frames in which a person is absent are all zeros.

        Returns:
            A batch of one clip (1, C, T', V, M') and its number of real frames (1,).
        """
        lengths = torch.full((1,), keypoint.shape[1], dtype=torch.long, device=keypoint.device)
        made, frames = run_batch(self.steps, ClipBatch(keypoint.permute(3, 1, 2, 0).unsqueeze(0), self.layout, lengths))
        nobody = ~(keypoint != 0).any().view(1, 1, 1, 1, 1)
        return torch.where(nobody, torch.nan, made), frames
