"""Fine-tuning: encoder and a linear layer together, on clips."""
import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from rich.progress import track
from torch import nn

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import extract_features
from mmskelssl.evaluation.recipes import FinetuneRecipe
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.classifier import SkeletonClassifier


def finetune(model: SkeletonEncoder, dataset, rows: Sequence[int], labels: np.ndarray, recipe: FinetuneRecipe,
             classes: int, seed: int = 0, name: str = 'fine-tuning', progress: bool = True) -> SkeletonClassifier:
    """Train a copy of a model's encoder with a linear layer; the model itself stays as it is.

    Args:
        model: Has ``backbone``, ``data_preprocessor`` and, if it is not ``mean``, ``pooling``.
        dataset: Has ``__getitems__``.
        rows: Clips of the data set to train on.
        labels: (len(rows),) their classes.
        classes: Width of the linear layer.
        seed: Of its start, of the order of the clips and of dropout; no other random numbers move.

    Returns:
        The classifier, on the model's device, in eval mode.
    """
    chosen, targets = np.asarray(rows), torch.as_tensor(np.asarray(labels, np.int64))
    if len(torch.unique(targets)) < 2:
        raise UserError(f'{name}: all {len(rows)} training clips have one class; it needs two or more')
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(seed)
        classifier = SkeletonClassifier(copy.deepcopy(model.backbone), classes, recipe.head_std,
                                        pooling=getattr(model, 'pooling', 'mean'))
        classifier.data_preprocessor = model.data_preprocessor
        classifier.to(device).requires_grad_(True).train()
        if recipe.frozen_norm:
            _freeze(classifier)
        _train(classifier, dataset, chosen, targets, recipe, torch.Generator().manual_seed(seed), name, progress)
    return classifier.eval()


def _freeze(model: nn.Module) -> None:
    """Evaluation mode, but for recurrences: cuDNN has no backward pass for those in it. They lose their dropout."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()
            module.dropout = 0.


def _train(classifier, dataset, rows, labels, recipe: FinetuneRecipe, generator, name: str, progress: bool) -> None:
    steps = math.ceil(len(rows) / recipe.batch_size)
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / steps))
    groups = [dict(params=list(classifier.backbone.parameters()), lr=recipe.lr),
              dict(params=list(classifier.head.parameters()), lr=recipe.head_lr or recipe.lr)]
    if recipe.optimizer == 'adamw':
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(groups, momentum=.9, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: recipe.factor(step, steps, epochs))
    for epoch in track(range(epochs), name, disable=not progress, transient=True):
        total = 0.
        for chosen in torch.randperm(len(rows), generator=generator).split(recipe.batch_size):
            batch = dataset.__getitems__(rows[chosen.numpy()].tolist())
            batch['data_samples'] = {**(batch.get('data_samples') or {}), 'label': labels[chosen]}
            batch = classifier.data_preprocessor(batch, False)  # no views: the clips as they are
            loss = classifier.loss(batch['inputs'], batch['data_samples'])['loss']
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        if not math.isfinite(float(total)):
            raise UserError(f'{name}: the loss is not finite in epoch {epoch + 1}; take a recipe with a lower rate')


def classify(classifier: SkeletonClassifier, dataset, rows: Sequence[int], batch_size: int = 256) -> np.ndarray:
    """Logits (len(rows), classes) of clips of a data set."""
    feats = extract_features(classifier, dataset, batch_size, progress=False, indices=rows).feats
    weight, bias = (parameter.detach().cpu().numpy() for parameter in (classifier.head.weight, classifier.head.bias))
    return feats @ weight.T + bias
