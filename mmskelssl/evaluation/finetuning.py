"""Fine-tune an encoder together with a linear layer."""
import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from rich.progress import track
from torch import nn

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import extract_features
from mmskelssl.evaluation.recipes import FinetuneRecipe, batches
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.classifier import SkeletonClassifier


def finetune(model: SkeletonEncoder, dataset, rows: Sequence[int], labels: np.ndarray, recipe: FinetuneRecipe,
             classes: int, seed: int = 0, name: str = 'fine-tuning', progress: bool = True) -> SkeletonClassifier:
    """Train a copy of a model's encoder with a linear layer. The model itself does not change.

    Args:
        model: A model with ``evaluated`` (default ``backbone``), ``data_preprocessor`` and optionally ``pooling``
            (default ``mean``) and ``concat_persons``.
        dataset: A data set with ``__getitems__``.
        rows: Rows of the data set to train on.
        labels: (len(rows),) classes of these rows.
        recipe: Settings of the training.
        classes: Number of classes.
        seed: Seed of the initial weights, the order of the clips and dropout. The global random state is preserved.
        name: Name of the training, for messages.
        progress: Show a progress bar.

    Returns:
        The classifier, on the model's device, in eval mode.

    Raises:
        UserError: If all clips have the same class or the loss is not finite.
    """
    chosen, targets = np.asarray(rows), torch.as_tensor(np.asarray(labels, np.int64))
    if len(torch.unique(targets)) < 2:
        raise UserError(f'{name}: all {len(rows)} training clips have one class; at least two are needed')
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(seed)
        classifier = SkeletonClassifier(copy.deepcopy(getattr(model, 'evaluated', model.backbone)), classes,
                                        recipe.head_std, pooling=getattr(model, 'pooling', 'mean'),
                                        concat_persons=getattr(model, 'concat_persons', None))
        classifier.data_preprocessor = model.data_preprocessor
        classifier.to(device).requires_grad_(True).train()
        if recipe.frozen_norm:
            _freeze(classifier)
        _train(classifier, dataset, chosen, targets, recipe, torch.Generator().manual_seed(seed), name, progress)
    return classifier.eval()


def _freeze(model: nn.Module) -> None:
    """Set eval mode, except for recurrent layers, because cuDNN has no backward pass for them in that mode.

    Recurrent layers stay in training mode without dropout.
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()
            module.dropout = 0.


def _train(classifier, dataset, rows, labels, recipe: FinetuneRecipe, generator, name: str, progress: bool) -> None:
    steps = len(batches(recipe, torch.arange(len(rows))))
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / steps))
    groups = [dict(params=list(classifier.backbone.parameters()), lr=recipe.lr),
              dict(params=list(classifier.head.parameters()), lr=recipe.head_lr or recipe.lr)]
    if recipe.optimizer == 'adamw':
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(groups, momentum=.9, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [
        lambda step: recipe.encoder_factor(step, steps, epochs), lambda step: recipe.factor(step, steps, epochs)])
    for epoch in track(range(epochs), name, disable=not progress, transient=True):
        total = 0.
        for chosen in batches(recipe, torch.randperm(len(rows), generator=generator)):
            batch = dataset.__getitems__(rows[chosen.numpy()].tolist())
            batch['data_samples'] = {**(batch.get('data_samples') or {}), 'label': labels[chosen]}
            batch = classifier.data_preprocessor(batch, False)  # without views or augmentation
            loss = classifier.loss(batch['inputs'], batch['data_samples'])['loss']
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        if not math.isfinite(float(total)):
            raise UserError(f'{name}: the loss is not finite in epoch {epoch + 1}; use a recipe with a lower learning '
                            'rate')


def classify(classifier: SkeletonClassifier, dataset, rows: Sequence[int], batch_size: int = 256) -> np.ndarray:
    """Return the logits (len(rows), classes) of the given rows of a data set."""
    feats = extract_features(classifier, dataset, batch_size, progress=False, indices=rows).feats
    weight, bias = (parameter.detach().cpu().numpy() for parameter in (classifier.head.weight, classifier.head.bias))
    return feats @ weight.T + bias
