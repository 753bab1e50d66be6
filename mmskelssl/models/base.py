"""What every self-supervised method is made of."""
from abc import abstractmethod
from dataclasses import dataclass

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.losses import widen
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.models.monitors import in_batch_top1, mean_cosine
from mmskelssl.registry import MODELS


@dataclass(frozen=True)
class Progress:
    """Where a run is: epoch and iteration count what is already done."""
    epoch: int = 0
    iteration: int = 0
    max_iterations: int = 1

    @property
    def fraction(self) -> float:
        return self.iteration / max(self.max_iterations, 1)


class SkeletonEncoder(BaseModel):
    """A backbone, its preprocessor, and how a feature map becomes one feature a clip.

    Args:
        backbone: Config or module under the backbone contract: (N, C, T, V, M) -> (N, M, D, T', V'), attribute
            ``out_channels`` = D.
        data_preprocessor: Config of :class:`~mmskelssl.models.preprocessor.SkeletonPreprocessor`.
        pooling: ``mean`` over joints and frames, as published; ``mean_max`` adds the maximum, which keeps a short
            movement from drowning in a long clip (features twice as long).
    """

    def __init__(self, backbone: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None,
                 pooling: str = 'mean', init_cfg: dict | None = None):
        if isinstance(data_preprocessor, dict):  # mmengine's root registry would not find ours
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        if pooling not in ('mean', 'mean_max'):
            raise UserError(f"pooling must be 'mean' or 'mean_max', not {pooling!r}")
        self.pooling = pooling
        self.feat_channels = self.backbone.out_channels * (2 if pooling == 'mean_max' else 1)
        self.progress = Progress()

    def set_progress(self, progress: Progress) -> None:
        """Tell model and preprocessor where the run is, before each iteration."""
        self.progress = progress
        if hasattr(self.data_preprocessor, 'set_progress'):
            self.data_preprocessor.set_progress(progress.iteration)

    def pool(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """(N, M, D, T', V') -> (N, D) or (N, 2D): over joints and frames, then the mean over persons, absent ones
        included, as published.

        Args:
            num_frames: (N,) frames that count, for a backbone with ``variable_length``; others take clips of one
                length.
        """
        if num_frames is None or not getattr(self.backbone, 'variable_length', False):
            pooled = features.mean((3, 4))
            largest = features.amax((3, 4)) if self.pooling == 'mean_max' else None
        else:
            valid = frame_mask(num_frames, features.shape[3]).view(len(features), 1, 1, -1, 1)
            length = num_frames.clamp(min=1).view(-1, 1, 1)
            pooled = (features * valid).sum((3, 4)) / (length * features.shape[4])
            largest = features.masked_fill(~valid, -torch.inf).amax((3, 4)) if self.pooling == 'mean_max' else None
        return (pooled if largest is None else torch.cat([pooled, largest], 2)).mean(1)

    def extract_feat(self, inputs: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Features of clips (N, C, T, V, M) from the online backbone, pooled, without projector: (N, D)."""
        return self.pool(self.backbone(inputs, num_frames), num_frames)


class SelfSupervisedModel(SkeletonEncoder):
    """An encoder and a pretext task.

    Arguments: :class:`SkeletonEncoder`. The preprocessor's views must be the method's ``view_names``.
    """
    view_names: tuple[str, ...] = ()
    variable_length = False  # does the method look at ``num_frames``? Otherwise clips must be of one length

    def __init__(self, backbone: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None,
                 pooling: str = 'mean', init_cfg: dict | None = None):
        super().__init__(backbone, data_preprocessor, pooling, init_cfg)
        views = getattr(self.data_preprocessor, 'views', None)
        if views is not None and set(views) != set(self.view_names):
            raise UserError(f'{type(self).__name__} needs the views {", ".join(self.view_names)}; '
                            f'model.data_preprocessor.views has {", ".join(views) or "none"}')

    def need_joints(self, what: str, instead: str) -> None:
        """Refuse a backbone whose feature map has no joints (a sequence encoder)."""
        if not getattr(self.backbone, 'maps_joints', True):
            raise UserError(f'{type(self).__name__}: {what} needs a feature map over joints, which '
                            f'{type(self.backbone).__name__} has not: {instead}, or use STGCN')

    @abstractmethod
    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars of one step. Those with ``loss`` in their name are summed and minimised, the others are logged."""

    def forward(self, inputs, data_samples: dict | None = None, mode: str = 'tensor'):
        """``loss``: views -> dict of scalars; ``tensor`` or ``predict``: clips -> (N, D) features."""
        if mode == 'loss':
            return self.loss(inputs, data_samples or {})
        if mode in ('tensor', 'predict'):
            return self.extract_feat(inputs, (data_samples or {}).get('num_frames'))
        raise UserError(f"mode must be 'loss', 'tensor' or 'predict', not {mode!r}")


def frame_mask(num_frames: Tensor, frames: int) -> Tensor:
    """(N, T) bool: which frames of padded clips are real."""
    return torch.arange(frames, device=num_frames.device) < num_frames.unsqueeze(1)


class ContrastiveModel(SelfSupervisedModel):
    """An encoder with a projector whose embeddings are compared on the unit sphere: the base of all contrast.

    Args:
        projector: Arguments of :class:`Projector`, ``hidden_channels`` and ``out_channels`` among them.
        temperature: Of InfoNCE.
    """

    def __init__(self, backbone: dict | nn.Module, projector: dict | None = None, temperature: float = 0.07,
                 data_preprocessor: dict | nn.Module | None = None, pooling: str = 'mean',
                 init_cfg: dict | None = None):
        super().__init__(backbone, data_preprocessor, pooling, init_cfg)
        projector = {'hidden_channels': 256, 'out_channels': 128, **(projector or {})}
        self.projector = Projector(self.feat_channels, **projector)
        self.embedding_channels, self.temperature = projector['out_channels'], temperature

    def embed(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Feature map (N, M, D, T', V') of the encoder -> L2-normalised embedding (N, E)."""
        return F.normalize(widen(self.projector(self.pool(features, num_frames))), dim=1)

    @torch.no_grad()
    def monitors(self, query: Tensor, key: Tensor) -> dict[str, Tensor]:
        """In-batch top-1 (does a query find its own key?) and mean cosine between different clips' keys.

        A falling loss deceives where these two stand still.
        """
        return dict(batch_top1=in_batch_top1(query, key), batch_cosine=mean_cosine(key))


class MomentumContrast(ContrastiveModel):
    """Query encoder, momentum key encoder and queue: MoCo for skeletons.

    There is no batch shuffle for BN: in one process it would change nothing, and several share their statistics
    (``sync_bn`` of the config).

    Args:
        momentum: Arguments of :class:`MomentumEncoder`.
        queue_size: Negative keys kept, K; 0 for none.
        in_batch: Use the batch's other keys as negatives beside the queue.
        **kwargs: Of :class:`ContrastiveModel`.
    """

    def __init__(self, backbone: dict | nn.Module, momentum: dict | None = None, queue_size: int = 32768,
                 in_batch: bool = False, **kwargs):
        super().__init__(backbone, **kwargs)
        if not queue_size and not in_batch:
            raise UserError('queue_size=0 leaves no negatives: set a queue_size, or in_batch=True')
        self.key = MomentumEncoder(**(momentum or {}), backbone=self.backbone, projector=self.projector)
        self.queue = FeatureQueue(self.embedding_channels, queue_size)
        self.in_batch = in_batch

    def embed_key(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """As :meth:`embed`, of the key encoder."""
        return F.normalize(widen(self.key.projector(self.pool(features, num_frames))), dim=1)

    @torch.no_grad()
    def encode_key(self, view: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Key of a view: (N, C, T, V, M) -> (N, E)."""
        return self.embed_key(self.key.backbone(view, num_frames), num_frames)
