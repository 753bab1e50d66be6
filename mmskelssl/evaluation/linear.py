"""Linear probes on cached features.

The encoder is frozen and in eval mode, and there is no augmentation. Training a layer on features extracted once is
therefore equivalent to the papers' protocol at a lower cost.
"""
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.evaluation.cross_validation import choose_c
from mmskelssl.evaluation.features import feature_tensor, label_array
from mmskelssl.evaluation.recipes import LINEAR, LogRegCVRecipe, LogRegRecipe, SGDRecipe, batches


def linear_probe(train, train_labels, test, recipe: str | LogRegRecipe | SGDRecipe = 'logreg', seed: int = 0,
                 num_classes: int | None = None, subjects=None, **changes) -> np.ndarray:
    """Fit a linear classifier on training features and score test features.

    Args:
        train: (N, D) features.
        train_labels: (N,) classes. All labels must be known.
        test: (M, D) features.
        recipe: A name in :data:`~mmskelssl.evaluation.recipes.LINEAR`, with changes if any, or a recipe.
        seed: Seed of the initial weights and the order in SGD recipes, and of the parts in ``logreg-cv``. ``logreg`` is
            deterministic.
        num_classes: Number of classes. By default, the highest label + 1. ``logreg`` never predicts a class without
            training clips.
        subjects: (N,) subject of each training clip, -1 if unknown, for ``logreg-cv``.
        **changes: Fields of the recipe to replace. Report such results under another name.

    Returns:
        (M, classes) float32 scores (logits). The predicted class is the argmax.

    Raises:
        UserError: If shapes do not match, labels are missing or there is only one class.
    """
    train, test = (feature_tensor(x, f'linear probe: {what}').numpy() for x, what in ((train, 'train'), (test, 'test')))
    if test.shape[1] != train.shape[1]:  # check before the fit, which takes time
        raise UserError(f'linear probe: features {train.shape} and {test.shape} do not match')
    return fit_probe(train, train_labels, recipe, seed, num_classes, subjects, **changes)(test)


def fit_probe(train, train_labels, recipe: str | LogRegRecipe | SGDRecipe = 'logreg', seed: int = 0,
              num_classes: int | None = None, subjects=None, **changes) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the classifier of :func:`linear_probe` for later use.

    Returns:
        A function that maps features (M, D) float32 to scores (M, classes) float32.
    """
    settings = replace(LINEAR[recipe] if isinstance(recipe, str) else recipe, **changes)
    train = feature_tensor(train, 'linear probe: train').numpy()
    labels = label_array(train_labels, 'linear probe')
    if len(train) != len(labels):
        raise UserError(f'linear probe: features {train.shape} do not match {len(labels)} labels')
    if len(np.unique(labels)) < 2:
        raise UserError(f'linear probe: all {len(labels)} training clips have class {labels[0]}; at least two classes '
                        'are needed')
    classes = max(num_classes or 0, int(labels.max()) + 1)
    if isinstance(settings, LogRegCVRecipe):
        settings = choose_c(settings, train, labels, subjects, seed).recipe
    if isinstance(settings, SGDRecipe):
        weight, bias = _sgd(settings, train, labels, seed, classes)

        def score(test: np.ndarray) -> np.ndarray:
            return F.linear(torch.from_numpy(test), weight, bias).numpy()
    else:
        score = _logreg(settings, train, labels, classes)

    def checked(test: np.ndarray) -> np.ndarray:
        with np.errstate(over='ignore'):
            scores = score(test)
        if not np.isfinite(scores).all():
            raise UserError(f'linear probe: the scores of recipe {recipe!r} are not finite: the layer has diverged on '
                            f'features as large as {max(np.abs(train).max(), np.abs(test).max()):.3g}; check the '
                            "encoder, or use recipe 'logreg', which standardises them")
        return scores

    return checked


def fit_layer(train, train_labels, recipe: str | LogRegRecipe = 'logreg',
              seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit the classifier of :func:`linear_probe` and return it as a layer on the features as they are.

    Args:
        train, train_labels, recipe, seed: As in :func:`linear_probe`. All classes from 0 to the highest label occur.

    Returns:
        Weights (classes, D) and biases (classes,), float64.
    """
    settings, labels = LINEAR[recipe] if isinstance(recipe, str) else recipe, label_array(train_labels, 'linear layer')
    train = feature_tensor(train, 'linear layer: train').numpy()
    classes = len(np.unique(labels))
    if len(train) != len(labels) or classes < 2 or labels.max() != classes - 1:
        raise UserError(f'linear layer: {len(train)} clips with labels of {classes} classes; at least two classes are '
                        'needed, numbered without gaps')
    if isinstance(settings, LogRegCVRecipe):
        settings = choose_c(settings, train, labels, seed=seed).recipe
    if isinstance(settings, SGDRecipe):
        weight, bias = (value.double().numpy() for value in _sgd(settings, train, labels, seed, classes))
    else:
        model, mean, std = _fit_logreg(settings, train, labels, classes)
        weight, bias = model.coef_, model.intercept_
        if classes == 2:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        weight = weight / std
        bias = bias - weight @ mean
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise UserError(f'linear layer: recipe {recipe!r} has diverged; check the encoder, or use logreg')
    return weight, bias


def _sgd(recipe: SGDRecipe, train, labels, seed: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(train), torch.from_numpy(labels)
    bound, weight, bias = x.shape[1] ** -0.5, torch.empty(classes, x.shape[1]), torch.zeros(classes)
    if recipe.init_std is None:
        for parameter in (weight, bias):
            parameter.uniform_(-bound, bound, generator=generator)
    else:
        weight.normal_(0, recipe.init_std, generator=generator)
    weight.requires_grad_(), bias.requires_grad_()
    optimizer = torch.optim.SGD([weight, bias], recipe.lr, recipe.momentum, nesterov=recipe.nesterov)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, recipe.steps, recipe.gamma)
    with torch.enable_grad(), _one_thread():
        for _ in range(recipe.epochs):
            for rows in batches(recipe, torch.randperm(len(x), generator=generator)):
                optimizer.zero_grad()
                F.cross_entropy(F.linear(x[rows], weight, bias), y[rows]).backward()
                optimizer.step()
            schedule.step()
    return weight.detach(), bias.detach()


@contextmanager
def _one_thread():
    """Use one thread. With such small products, waiting for other threads costs more than it gains.

    On a busy machine the difference is a factor of 20.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit_logreg(recipe: LogRegRecipe, train, labels, classes: int):
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits
    mean, std = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    std[std < 1e-8] = 1
    with threadpool_limits(1 if train.size * classes < 5e7 else None):
        return LogisticRegression(C=recipe.C, max_iter=recipe.max_iter).fit((train - mean) / std, labels), mean, std


def _logreg(recipe: LogRegRecipe, train, labels, classes: int) -> Callable:
    model, mean, std = _fit_logreg(recipe, train, labels, classes)

    def score(test: np.ndarray) -> np.ndarray:
        decision = model.decision_function((test - mean) / std)
        if decision.ndim == 1:  # two classes: one column
            decision = np.stack([-decision, decision], 1) / 2
        # Classes without training clips get a finite score below all others, because scores are saved and averaged.
        scores = np.full((len(test), classes), decision.min() - 1, np.float32)
        scores[:, model.classes_] = decision
        return scores

    return score
