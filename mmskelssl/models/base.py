"""What every self-supervised method is made of, each base adding one part."""
import logging
from abc import abstractmethod
from dataclasses import dataclass

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.backbones.base import build_backbone, check_map
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.models.modules.pooling import frame_mask, masked_pool
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.models.monitors import in_batch_top1, mean_cosine
from mmskelssl.ops.precision import widen
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
        backbone: Config or module under the contract of
            :class:`~mmskelssl.models.backbones.base.SkeletonBackbone`.
        data_preprocessor: Config of :class:`~mmskelssl.models.preprocessor.SkeletonPreprocessor`.
        pooling: ``mean`` over joints and frames, as published; ``mean_max`` adds the maximum, which keeps a short
            movement from drowning in a long clip (features twice as long).
    """

    def __init__(self, backbone: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None,
                 pooling: str = 'mean', init_cfg: dict | None = None):
        if isinstance(data_preprocessor, dict):  # mmengine's root registry would not find ours
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = build_backbone(backbone)
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

    def pool(self, features: Tensor, num_frames: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(N, M, D, T', V) -> (N, D) or (N, 2D): over joints and frames, then the mean over persons, absent ones
        included, as published.

        Args:
            num_frames: (N,) frames that count, for a backbone with ``variable_length``; others take clips of one
                length.
            mask: (N, M, T', V) in [0, 1], for clips of one length: the mean is that under the mask, and the maximum
                that of the masked map.
        """
        check_map(features, self.backbone)
        if mask is not None:
            pooled = masked_pool(features, mask)
            features = features * mask.unsqueeze(2).to(features.dtype) if self.pooling == 'mean_max' else features
        elif num_frames is not None and self.backbone.variable_length:
            valid = frame_mask(num_frames, features.shape[3]).view(len(features), 1, 1, -1, 1)
            length = num_frames.clamp(min=1).view(-1, 1, 1)
            pooled = (features * valid).sum((3, 4)) / (length * features.shape[4])
            features = features.masked_fill(~valid, -torch.inf) if self.pooling == 'mean_max' else features
        else:
            pooled = features.mean((3, 4))
        if self.pooling == 'mean_max':
            pooled = torch.cat([pooled, features.amax((3, 4))], 2)
        return pooled.mean(1)

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
        if not self.backbone.maps_joints:
            raise UserError(f'{type(self).__name__}: {what} needs a feature map over joints, which '
                            f'{type(self.backbone).__name__} has not: {instead}, or use STGCN')

    @classmethod
    def report_unused(cls, reason: str, **given) -> None:
        """Log the options that were given a value (not None) but have no effect."""
        names = [name for name, value in given.items() if value is not None]
        if names:
            print_log(f'{cls.__name__}: {" and ".join(names)} will be ignored, as {reason}', 'current', logging.WARNING)

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


class JointEmbeddingModel(SelfSupervisedModel):
    """An encoder with a projector: the base of methods that compare embeddings of views, with negatives or without.

    Args:
        projector: Arguments of :class:`Projector`; default ``hidden_channels=256`` and ``out_channels=128``.
        **kwargs: Of :class:`SelfSupervisedModel`.
    """

    def __init__(self, backbone: dict | nn.Module, projector: dict | None = None, **kwargs):
        super().__init__(backbone, **kwargs)
        projector = {'hidden_channels': 256, 'out_channels': 128, **(projector or {})}
        self.projector = Projector(self.feat_channels, **projector)
        self.embedding_channels = projector['out_channels']

    def project(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Feature map (N, M, D, T', V') of the encoder -> embedding (N, E), not normalised, at least float32."""
        return widen(self.projector(self.pool(features, num_frames)))

    def embed(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """As :meth:`project`, L2-normalised."""
        return F.normalize(self.project(features, num_frames), dim=1)

    @torch.no_grad()
    def monitors(self, q: Tensor, k: Tensor) -> dict[str, Tensor]:
        """In-batch top-1 (does a query find its own key?) and mean cosine between different clips' keys.

        Where these two stand still, a falling loss means nothing.

        Args:
            q, k: (N, E), embeddings of two views of the same clips.
        """
        return dict(batch_top1=in_batch_top1(q, k), batch_cosine=mean_cosine(k))


class ContrastiveModel(JointEmbeddingModel):
    """A joint embedding that other clips repel.

    Args:
        temperature: Of InfoNCE.
        **kwargs: Of :class:`JointEmbeddingModel`.
    """

    def __init__(self, *args, temperature: float = 0.07, **kwargs):
        super().__init__(*args, **kwargs)
        self.temperature = temperature


class MomentumModel(JointEmbeddingModel):
    """A joint embedding with a key encoder, a moving average of the online one; no negatives (BYOL's kind).

    A step begins with ``self.key_encoder.update(self.progress.fraction)``.

    Args:
        momentum: Arguments of :class:`MomentumEncoder`.
        **kwargs: Of :class:`JointEmbeddingModel`.
    """

    def __init__(self, *args, momentum: dict | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.key_encoder = MomentumEncoder(**(momentum or {}), backbone=self.backbone, projector=self.projector)

    @torch.no_grad()
    def embed_key(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """As :meth:`embed`, of the key encoder's feature map and by its projector."""
        return F.normalize(widen(self.key_encoder.projector(self.pool(features, num_frames))), dim=1)

    @torch.no_grad()
    def encode_key(self, key_view: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Key (N, E) of a view (N, C, T, V, M), without gradient."""
        return self.embed_key(self.key_encoder.backbone(key_view, num_frames), num_frames)

    @classmethod
    def rename_state(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict under today's names; the key encoder was once called ``key``."""
        return {f'key_encoder.{name[4:]}' if name.startswith('key.') else name: value for name, value in state.items()}

    def _load_from_state_dict(self, state_dict, prefix, *args):
        names = {name.removeprefix(prefix): name for name in state_dict if name.startswith(prefix)}
        for new, old in self.rename_state(names).items():
            if prefix + new != old:  # in place, as torch passes the same dict on to the parts
                state_dict[prefix + new] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args)


class MomentumContrast(MomentumModel, ContrastiveModel):
    """Query encoder, momentum key encoder and queue: MoCo for skeletons.

    There is no batch shuffle for BN: in one process it would change nothing, and several share their statistics
    (``sync_bn`` of the config).

    Args:
        queue_size: Negative keys kept, K; 0 for none.
        in_batch: Use the batch's other keys as negatives beside the queue.
        **kwargs: Of :class:`MomentumModel` and :class:`ContrastiveModel`.
    """

    def __init__(self, *args, queue_size: int = 32768, in_batch: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        if queue_size < 0:
            raise UserError(f'queue_size is {queue_size}: give the number of negative keys to keep, or 0 for none')
        if not queue_size and not in_batch:
            raise UserError('queue_size=0 leaves no negatives: set a queue_size, or in_batch=True')
        self.queue = FeatureQueue(self.embedding_channels, queue_size)
        self.in_batch = in_batch
