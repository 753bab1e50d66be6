"""The nearest-neighbour monitor of CrosSCLR, AimCLR, ActCLR and SkeAttnCLR, for comparison with their logs.

It differs from :mod:`~mmskelssl.evaluation.knn` on features: it compares the normalised outputs of the projector, and
both the bank and the queries are cropped in time and sheared at random (docs/methods.md 0.6).
"""
import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.augment import build_augments
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import FeatureBank
from mmskelssl.evaluation.knn import knn_scores
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.models.base import JointEmbeddingModel

NEIGHBOURS, TEMPERATURE = (10, 20, 40), 0.1
AUGMENTS = (dict(type='TemporalCrop', pad_ratio=6), dict(type='Shear', amplitude=0.5))


class Embeddings(nn.Module):
    """A model whose features are normalised embeddings of cropped and sheared clips.

    Args:
        model: The method. Its draws are not affected.
        step: Number of the measurement. Each has its own random draws, which the seed of the run determines.

    Raises:
        UserError: If the method has no projector, or takes padded clips, which cannot be cropped.
    """

    def __init__(self, model: JointEmbeddingModel, step: int):
        super().__init__()
        name = type(model).__name__
        if not isinstance(model, JointEmbeddingModel) or getattr(model, 'variable_length', False):
            reason = 'takes padded clips' if isinstance(model, JointEmbeddingModel) else 'has no projector'
            raise UserError(f'KNNHook: lineage compares embeddings of cropped clips, but {name} {reason}: set it to '
                            'False')
        self.model = model
        preprocessor = copy.copy(model.data_preprocessor)  # with its own generator and views
        preprocessor.views = {'clip': build_augments(AUGMENTS, preprocessor.layout)}
        preprocessor.origin, preprocessor.active = {}, {'clip': (0, 1)}
        preprocessor.seed += 1
        preprocessor.set_progress(step)
        self.preprocessor = preprocessor

    def data_preprocessor(self, batch: dict, training: bool) -> dict:
        made = self.preprocessor(batch, True)
        return {**made, 'inputs': made['inputs']['clip']}

    def extract_feat(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Return the embeddings (N, E) of clips (N, C, T, V, M)."""
        return F.normalize(self.model.project(self.model.backbone(x, num_frames), num_frames), dim=1)


@torch.no_grad()
def lineage_knn(model: JointEmbeddingModel, make_dataset, train_split: str, test_split: str, step: int = 0,
                batch_size: int = 256, max_bank: int | None = None) -> dict[int, float]:
    """Return the top-1 accuracy in percent by number of neighbours, which vote with weight exp(cosine / 0.1).

    Args:
        model: The method. Its mode is restored.
        make_dataset: Maps the name of a split to its data set.
        train_split, test_split: Splits of the bank and of the queries.
        step: As in :class:`Embeddings`.
        batch_size: Batch size of the encoder.
        max_bank: Maximum number of clips of the bank, evenly spaced.

    Raises:
        UserError: If the method does not fit, or a clip has no label.
    """
    bank = FeatureBank(Embeddings(model, step), make_dataset, batch_size, progress=False,
                       max_samples={train_split: max_bank})
    train, test = bank[train_split], bank[test_split]
    votes = knn_scores(train.feats, train.labels, test.feats, NEIGHBOURS, TEMPERATURE, bank.num_classes)
    return {k: accuracies(test.labels, vote.argmax(1))['top1'] for k, vote in votes.items()}
