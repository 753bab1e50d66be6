"""Base classes of the self-supervised methods. Each class adds one part to the one before."""
import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.backbones.base import build_backbone, check_map
from mmskelssl.models.checks import check_arguments, check_choice, check_integer, check_number, check_switch
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.models.modules.pooling import frame_mask, masked_pool
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.models.monitors import in_batch_top1, mean_cosine
from mmskelssl.ops.precision import widen
from mmskelssl.registry import MODELS


@dataclass(frozen=True)
class Progress:
    """Training progress: the number of epochs and iterations completed so far."""
    epoch: int = 0
    iteration: int = 0
    max_iterations: int = 1

    @property
    def fraction(self) -> float:
        return self.iteration / max(self.max_iterations, 1)


class SkeletonEncoder(BaseModel):
    """A backbone, its preprocessor, and the pooling that turns a feature map into one feature per clip.

    Args:
        backbone: Config or module that follows the contract of
            :class:`~mmskelssl.models.backbones.base.SkeletonBackbone`.
        data_preprocessor: Config of :class:`~mmskelssl.models.preprocessor.SkeletonPreprocessor`.
        pooling: ``mean`` averages over joints and frames, as published. ``mean_max`` also concatenates the maximum,
            which preserves short movements in long clips and doubles the feature length.
        concat_persons: Number of persons whose features are concatenated, in the order of the clip. By default, the
            features are averaged over the persons.
    """

    backbone: Any  # a module that follows the contract, not necessarily a SkeletonBackbone
    feat_channels: int
    evaluated_part = 'backbone'  # dotted name of the encoder whose features are used

    def __init__(self, backbone: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None,
                 pooling: str = 'mean', concat_persons: int | None = None, init_cfg: dict | None = None):
        if isinstance(data_preprocessor, dict):  # mmengine would build it from its root registry, which lacks ours
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = build_backbone(backbone)
        check_choice('pooling', pooling, ('mean', 'mean_max'))
        if concat_persons is not None:
            check_integer('concat_persons', concat_persons)
        self.pooling, self.concat_persons = pooling, concat_persons
        self.feat_channels = self.backbone.out_channels * (2 if pooling == 'mean_max' else 1) * (concat_persons or 1)
        self.progress = Progress()

    @property
    def evaluated(self) -> nn.Module:
        """The encoder whose features are used: the online backbone, unless a method averages it over training."""
        return self.get_submodule(self.evaluated_part)

    def set_progress(self, progress: Progress) -> None:
        """Update the progress of the model and its preprocessor. Called before each iteration."""
        self.progress = progress
        if hasattr(self.data_preprocessor, 'set_progress'):
            self.data_preprocessor.set_progress(progress.iteration)

    def pool(self, features: Tensor, num_frames: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Pool a feature map over joints and frames, then average over persons, or concatenate their features.

        The average includes absent persons, as published.

        Args:
            features: (N, M, D, T', V) feature map.
            num_frames: (N,) number of frames to pool, used if the backbone has ``variable_length``. Other backbones
                take clips of equal length.
            mask: (N, M, T', V) in [0, 1], for clips of equal length. The mean is weighted by the mask, and the
                maximum is taken over the masked map.

        Returns:
            (N, D), or (N, 2D) for ``mean_max`` pooling, or ``concat_persons`` times as many.
        """
        check_map(features, self.backbone)
        cells = features.permute(0, 1, 3, 4, 2)  # with the channels last, in which order the gradient then is
        if mask is not None:
            pooled = masked_pool(features, mask)
            cells = cells * mask.unsqueeze(4).to(cells.dtype) if self.pooling == 'mean_max' else cells
        elif num_frames is not None and self.backbone.variable_length:
            valid = frame_mask(num_frames, features.shape[3]).view(features.shape[0], 1, -1, 1, 1)
            length = num_frames.clamp(min=1).view(-1, 1, 1)
            pooled = (cells * valid).sum((2, 3)) / (length * cells.shape[3])
            cells = cells.masked_fill(~valid, -torch.inf) if self.pooling == 'mean_max' else cells
        else:
            pooled = cells.mean((2, 3))
        if self.pooling == 'mean_max':
            pooled = torch.cat([pooled, cells.amax((2, 3))], 2)
        if self.concat_persons is None:
            return pooled.mean(1)
        if pooled.shape[1] != self.concat_persons:
            raise UserError(f'concat_persons is {self.concat_persons}, but the feature map has {pooled.shape[1]} '
                            'persons: set it to their number, or leave it out to average over persons')
        return pooled.flatten(1)

    def extract_feat(self, inputs: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Return pooled features (N, D) of clips (N, C, T, V, M) from :attr:`evaluated`, without the projector."""
        return self.pool(self.evaluated(inputs, num_frames), num_frames)


class SelfSupervisedModel(SkeletonEncoder):
    """An encoder with a pretext task.

    Takes the arguments of :class:`SkeletonEncoder`. The views of the preprocessor must match the method's
    ``view_names``.
    """
    view_names: tuple[str, ...] = ()
    optional_views: tuple[str, ...] = ()  # further views that a config may have
    variable_length = False  # whether the method uses ``num_frames``; if not, all clips must have the same length
    takes_scores = False  # whether the clips may have the scores of the joints as an additional channel
    takes_pools = True  # whether the clips of a batch may have different layouts

    def __init__(self, backbone: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None,
                 pooling: str = 'mean', concat_persons: int | None = None, init_cfg: dict | None = None):
        super().__init__(backbone, data_preprocessor, pooling, concat_persons, init_cfg)
        views = getattr(self.data_preprocessor, 'view_names', None)
        if views is not None and not set(self.view_names) <= set(views) <= {*self.view_names, *self.optional_views}:
            more = f' and may have {", ".join(self.optional_views)}' if self.optional_views else ''
            raise UserError(f'{type(self).__name__} needs the views {", ".join(self.view_names)}{more}; '
                            f'model.data_preprocessor.views has {", ".join(views) or "none"}')
        if getattr(self.data_preprocessor, 'scores', False):
            self.check_takes_scores()
        made = self.data_preprocessor
        if getattr(made, 'stream', None) == 'invariant':
            aligned, moving = getattr(made, 'alignment', 'none') != 'none', getattr(made, 'velocity', False)
            self.report_unused('the stream is invariant', alignment=aligned or None, velocity=moving or None)

    @classmethod
    def check_takes_scores(cls) -> None:
        """Raise a UserError if the method works on coordinates only."""
        if not cls.takes_scores:
            raise UserError(f'{cls.__name__} works on coordinates only: leave out data.scores, or use another method')

    def need_joints(self, what: str, instead: str) -> None:
        """Raise if the backbone's feature map has no joints, as with a sequence encoder."""
        if not self.backbone.maps_joints:
            raise UserError(f'{type(self).__name__}: {what} needs a feature map over joints, which '
                            f'{type(self.backbone).__name__} does not return: {instead}, or use STGCN')

    @classmethod
    def report_unused(cls, reason: str, **given) -> None:
        """Log a warning about options that are set (not None) but have no effect."""
        names = [name for name, value in given.items() if value is not None]
        if names:
            print_log(f'{cls.__name__}: {" and ".join(names)} will be ignored, as {reason}', 'current', logging.WARNING)

    def draw(self, views: dict[str, Tensor]) -> dict[str, Any]:
        """Draw the random numbers that :meth:`loss` takes from the preprocessor's generator, as tensors.

        Compiled code cannot use such a generator. A compiled :meth:`loss` therefore gets them as
        ``data_samples['draws']``. Without this key, it calls this method itself.
        """
        return {}

    @abstractmethod
    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Any]) -> dict[str, Tensor]:
        """Return the scalars of one step.

        The sum of those with ``loss`` in their name is minimised. The others are only logged.
        """

    def forward(self, inputs, data_samples: dict | None = None, mode: str = 'tensor'):
        """Return a dict of scalars for views (mode ``loss``) or features (N, D) for clips (``tensor``, ``predict``)."""
        if mode == 'loss':
            return self.loss(inputs, data_samples or {})
        if mode in ('tensor', 'predict'):
            return self.extract_feat(inputs, (data_samples or {}).get('num_frames'))
        raise UserError(f"mode must be 'loss', 'tensor' or 'predict', not {mode!r}")


class JointEmbeddingModel(SelfSupervisedModel):
    """An encoder with a projector: the base of methods that compare embeddings of views, with or without negatives.

    Args:
        backbone: As in :class:`SkeletonEncoder`.
        projector: Arguments of :class:`Projector`. The defaults are ``hidden_channels=256`` and ``out_channels=128``.
        **kwargs: Arguments of :class:`SelfSupervisedModel`.
    """
    takes_scores = True

    def __init__(self, backbone: dict | nn.Module, projector: dict | None = None, **kwargs):
        super().__init__(backbone, **kwargs)
        projector = {'hidden_channels': 256, 'out_channels': 128,
                     **check_arguments('projector', projector, 'dict(out_channels=128)')}
        self.projector = Projector(self.feat_channels, **projector)
        self.embedding_channels = projector['out_channels']

    def project(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Project the encoder's feature map (N, M, D, T', V') to an embedding (N, E).

        The embedding is not normalised and has at least float32 precision.
        """
        return widen(self.projector(self.pool(features, num_frames)))

    def embed(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Like :meth:`project`, but L2-normalised."""
        return F.normalize(self.project(features, num_frames), dim=1)

    @torch.no_grad()
    def monitors(self, q: Tensor, k: Tensor) -> dict[str, Tensor]:
        """Return the in-batch top-1 accuracy and the mean cosine similarity between keys of different clips.

        The top-1 accuracy is the percentage of queries whose nearest key is their own. If neither number improves, a
        falling loss means nothing.

        Args:
            q, k: (N, E), embeddings of two views of the same clips.
        """
        return dict(batch_top1=in_batch_top1(q, k), batch_cosine=mean_cosine(k))


class ContrastiveModel(JointEmbeddingModel):
    """A joint embedding model that contrasts each clip with other clips.

    Args:
        temperature: Temperature of InfoNCE.
        **kwargs: Arguments of :class:`JointEmbeddingModel`.

    Attributes:
        contrast_loss: Key of the InfoNCE loss, unweighted, among the scalars of a step. None if there is none.
    """
    contrast_loss: str | None = None

    def __init__(self, *args, temperature: float = 0.07, **kwargs):
        super().__init__(*args, **kwargs)
        check_number(f'{type(self).__name__}: temperature', temperature, above=0)
        self.temperature = temperature

    def candidates(self, batch_size: int) -> int:
        """Return K, the number of embeddings among which a clip must find its own. At chance, InfoNCE is log K.

        ``batch_size`` counts the clips of all processes. Methods with a :attr:`contrast_loss` define it.
        """
        raise NotImplementedError


class MomentumModel(JointEmbeddingModel):
    """A joint embedding model with a key encoder, a moving average of the online encoder. It has no negatives (BYOL).

    Each step must begin with ``self.update_key()``.

    Args:
        momentum: Arguments of :class:`MomentumEncoder`.
        **kwargs: Arguments of :class:`JointEmbeddingModel`.
    """

    def __init__(self, *args, momentum: dict | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        momentum = check_arguments('momentum', momentum, 'dict(momentum=0.999)')
        self.key_encoder = MomentumEncoder(**momentum, backbone=self.backbone, projector=self.projector)

    def update_key(self) -> None:
        """Move the key encoder towards the online encoder.

        The momentum changes during training, and would be a constant in compiled code. A compiled :meth:`loss`
        therefore leaves the update to its caller.
        """
        if not torch.compiler.is_compiling():
            self.key_encoder.update(self.progress.fraction)

    @torch.no_grad()
    def embed_key(self, features: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Like :meth:`embed`, but for a feature map of the key encoder and with the key encoder's projector."""
        return F.normalize(widen(self.key_encoder.projector(self.pool(features, num_frames))), dim=1)

    @torch.no_grad()
    def encode_key(self, key_view: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Return the keys (N, E) of a view (N, C, T, V, M), without gradient."""
        return self.embed_key(self.key_encoder.backbone(key_view, num_frames), num_frames)

    @classmethod
    def rename_state(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a state dict under the current names. The key encoder was called ``key`` before."""
        return {f'key_encoder.{name[4:]}' if name.startswith('key.') else name: value for name, value in state.items()}

    def _load_from_state_dict(self, state_dict, prefix, *args):
        names = {name.removeprefix(prefix): name for name in state_dict if name.startswith(prefix)}
        for new, old in self.rename_state(names).items():
            if prefix + new != old:  # in place, because torch passes the same dict to the submodules
                state_dict[prefix + new] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args)


class MomentumContrast(MomentumModel, ContrastiveModel):
    """MoCo for skeletons: a query encoder, a momentum key encoder and a queue.

    There is no batch shuffle for BN. In one process it would change nothing, and several processes share their
    statistics (``sync_bn`` in the config).

    Args:
        queue_size: Number of negative keys to keep, K. 0 disables the queue.
        in_batch: Use the other keys of the batches of all processes as negatives, in addition to the queue.
        **kwargs: Arguments of :class:`MomentumModel` and :class:`ContrastiveModel`.
    """

    def __init__(self, *args, queue_size: int = 32768, in_batch: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        check_integer(f'{type(self).__name__}: queue_size', queue_size, 0, '; 0 keeps no negative keys')
        check_switch(f'{type(self).__name__}: in_batch', in_batch)
        if not queue_size and not in_batch:
            raise UserError('queue_size=0 leaves no negatives: set a queue_size, or in_batch=True')
        self.queue = FeatureQueue(self.embedding_channels, queue_size)
        self.in_batch = in_batch

    def candidates(self, batch_size: int) -> int:
        return 1 + len(self.queue) + (batch_size - 1 if self.in_batch else 0)
