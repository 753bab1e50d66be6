"""Fit a classifier on a labelled store: linear layers on one or several encoders, or fine-tuned encoders.

The probabilities are calibrated on clips that were held out of the training, in five parts in turn (one part for
fine-tuning, which takes long). If the store states enough subjects, the parts have different ones. The classifier is
then fitted on all training clips.
"""
import os.path as osp
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.evaluation.calibration import calibration_error, fit_temperature, reject_threshold, softmax
from mmskelssl.evaluation.cross_validation import Choice, choose_c
from mmskelssl.evaluation.finetuning import classify, finetune
from mmskelssl.evaluation.linear import fit_layer
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.evaluation.recipe_names import canonical
from mmskelssl.evaluation.recipes import BENCHMARK_DATA, FINETUNE, LINEAR, LogRegCVRecipe, LogRegRecipe
from mmskelssl.evaluation.splits import held_out_parts
from mmskelssl.inference.card import classifier_card
from mmskelssl.inference.change import agreed_fps
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.fit_clips import check_test_split, class_numbers, classes_of, others, tests_of
from mmskelssl.inference.predictions import UNKNOWN
from mmskelssl.inference.saved.member import Member, member_of
from mmskelssl.models.checks import check_integer, check_seed

FOLDS = 5
MAX_LEFT_OUT = 20  # classes that are left out in turn to measure unknown movements
_TUNE = 'finetune:'


@dataclass(frozen=True)
class _Fitted:
    """A member fitted on some clips: ``score(split, rows)`` -> logits, and its layer and encoder."""
    score: Callable[[str, np.ndarray], np.ndarray]
    member: Callable[[], Member]


class _Clips:
    """The clips of a store's splits for one encoder, with features that are extracted once."""

    def __init__(self, extractor: FeatureExtractor, store: SkeletonStore, fps: float | None):
        self.extractor, self.store, self.fps = extractor, store, fps
        self._datasets: dict = {}
        self._feats: dict[str, np.ndarray] = {}

    def dataset(self, split: str):
        if split not in self._datasets:
            self._datasets[split] = self.extractor.dataset(self.store.path, split, self.fps)
        return self._datasets[split]

    def feats(self, split: str) -> np.ndarray:
        if split not in self._feats:
            self._feats[split] = self.extractor.of_store(self.store.path, split, self.fps).feats
        return self._feats[split]


def _fit(clips: _Clips, split: str, rows: np.ndarray, labels: np.ndarray, recipe: str | LogRegRecipe,
         seed: int) -> _Fitted:
    """Fit one member on rows of a split, whose classes are numbered without gaps."""
    extractor, classes = clips.extractor, int(labels.max()) + 1
    if isinstance(recipe, str) and recipe.startswith(_TUNE):
        name = recipe.removeprefix(_TUNE)
        network = finetune(extractor.model, clips.dataset(split), rows.tolist(), labels, FINETUNE[name], classes, seed,
                           f'finetune {name}')

        def score(split: str, rows: np.ndarray) -> np.ndarray:
            return classify(network, clips.dataset(split), rows.tolist(), extractor.batch_size)

        return _Fitted(score, lambda: _member(network, extractor.info, network.head.weight, network.head.bias))
    weight, bias = fit_layer(clips.feats(split)[rows], labels, recipe, seed)
    return _Fitted(lambda split, rows: clips.feats(split)[rows].astype(np.float64) @ weight.T + bias,
                   lambda: _member(extractor.model, extractor.info, torch.from_numpy(weight), torch.from_numpy(bias)))


def _mean(fitted: Sequence[_Fitted], split: str, rows: np.ndarray) -> np.ndarray:
    return np.mean([one.score(split, rows) for one in fitted], axis=0)


def _member(model, info: dict, weight: torch.Tensor, bias: torch.Tensor) -> Member:
    made = member_of(model, info, 'SkeletonClassifier', num_classes=len(bias))
    made.model.head.load_state_dict(dict(weight=weight, bias=bias))
    return made


def fit_classifier(extractors: Sequence[FeatureExtractor], store: str, recipe: str | None = None,
                   train_split: str = 'train', test_splits: Sequence[str] | None = None, reject: float | None = None,
                   left_out: int | None = None, seed: int = 0, fps: float | None = None,
                   data_licence: str | None = None) -> SkeletonClassifier:
    """Fit a classifier.

    Args:
        extractors: Encoders, such as the streams of one method. Their scores are averaged.
        store: Folder of the labelled store.
        recipe: A linear recipe, such as ``logreg``, or ``finetune:`` and a fine-tuning recipe. By default,
            ``logreg-cv``, and ``logreg`` for the data sets in :data:`~mmskelssl.evaluation.recipes.BENCHMARK_DATA`.
        train_split: Split to fit on, or ``all``.
        test_splits: Splits to measure on. By default, those that belong to the training split.
        reject: Share of held-out clips that may be refused as unknown. By default, no clip is refused.
        left_out: Number of classes that are left out in turn to measure unknown movements. By default, up to
            :data:`MAX_LEFT_OUT` for linear recipes, and none for fine-tuning.
        seed: Seed of the parts, and of recipes that draw.
        fps: Frames per second of the clips, if the store does not say it. Clips are resampled if the encoders were
            trained on another rate.
        data_licence: Licence of the data, for the card.

    Returns:
        The classifier, with its card. Its config contains the measurements under ``report``.

    Raises:
        UserError: If encoders, store, splits and options do not match, or a clip has no label.
    """
    named = osp.basename(osp.abspath(store)) in BENCHMARK_DATA
    recipe = _canonical(recipe or ('logreg' if named else 'logreg-cv'))
    if reject is not None and not 0 <= reject < 1:
        raise UserError(f'--reject {reject}: expected a share of clips from 0 up to, but not including, 1')
    if left_out is not None:
        check_integer('--left-out', left_out, 0)
    check_seed('--seed', seed)
    source = SkeletonStore(store)
    tests = list(test_splits) if test_splits is not None else tests_of(source, train_split)
    labels, classes, missing = classes_of(source, train_split)
    if reject is not None and UNKNOWN in classes:
        raise UserError(f'--reject: the store has a class {UNKNOWN!r}, which could not be distinguished from the '
                        f'answer {UNKNOWN!r}; rename it')
    for test in tests:
        check_test_split(source, train_split, test)
    if len(set(tests)) < len(tests):
        raise UserError(f'--test-splits {" ".join(tests)}: name each only once')
    extractors = [extractor.for_store(store) for extractor in extractors]
    rates = sorted({extractor.fps for extractor in extractors if extractor.fps})
    if len(rates) > 1:
        raise UserError(f'the encoders were trained on different frame rates, {rates}')
    of_clips = agreed_fps(source.head.get('fps'), fps, source.path)
    rate = rates[0] if rates else of_clips
    clips = [_Clips(extractor, source, of_clips) for extractor in extractors]
    subjects = source.subjects[source.split(train_split)]
    parts, held_by = held_out_parts(labels, subjects, FOLDS, seed)
    used = parts[:1] if recipe.startswith(_TUNE) else parts
    choices = _choices(recipe, [each.feats for each in clips], train_split, labels, subjects, seed)
    recipes: list[str | LogRegRecipe] = [choice.recipe for choice in choices] or [recipe] * len(clips)

    def fit(rows: np.ndarray, numbers: np.ndarray) -> Callable[[str, np.ndarray], np.ndarray]:
        fitted = [_fit(each, train_split, rows, numbers, own, seed) for each, own in zip(clips, recipes, strict=True)]
        return lambda split, rows: _mean(fitted, split, rows)

    held_scores = [fit(others(labels, part), labels[others(labels, part)])(train_split, part) for part in used]
    scores, held = np.concatenate(held_scores), np.concatenate(used)
    temperature = fit_temperature(scores, labels[held])
    threshold = 0. if reject is None else reject_threshold(softmax(scores, temperature), reject)
    unknown = _unknown(fit, train_split, labels, classes, parts, temperature,
                       (0 if recipe.startswith(_TUNE) else MAX_LEFT_OUT) if left_out is None else left_out)
    everything = np.arange(len(labels))
    final = [_fit(each, train_split, everything, labels, own, seed) for each, own in zip(clips, recipes, strict=True)]
    members = [one.member() for one in final]

    def report_on(split: str, scores: np.ndarray, labels: np.ndarray, **more) -> dict:
        return dict(split=split, **_measure(scores, labels, temperature, threshold), **more)

    measured = []
    for test in tests:
        own = class_numbers(source, test, classes)
        measured.append(report_on(test, _mean(final, test, np.arange(len(own))), own))
    report = dict(
        data=osp.basename(osp.abspath(source.path)), data_hash=source.data_hash, train_split=train_split,
        num_train=len(labels), recipe=recipe, seed=seed, classes=classes, left_out=missing, temperature=temperature,
        threshold=threshold, reject=reject, tests=measured, unknown=unknown,
        held_out=report_on(f'held out of {train_split}', scores, labels[held], folds=len(used), by=held_by))
    if choices:
        report['C'] = [choice.C for choice in choices]
    card = classifier_card([member.info for member in members], extractors[0].channels, rate, data_licence, report)
    first = extractors[0]
    return SkeletonClassifier(
        osp.basename(first.checkpoint), dict(fps=rate, classes=classes, weights=[1 / len(members)] * len(members),
                                             temperature=temperature, threshold=threshold, report=report),
        members, next(first.model.parameters()).device, first.batch_size, card)


def _choices(recipe: str, feats: Sequence[Callable[[str], np.ndarray]], split: str, labels: np.ndarray,
             subjects: np.ndarray, seed: int) -> list[Choice]:
    """Choose the C of each member once, on all training clips; [] if the recipe chooses nothing."""
    settings = None if recipe.startswith(_TUNE) else LINEAR[recipe]
    if not isinstance(settings, LogRegCVRecipe):
        return []
    return [choose_c(settings, of(split), labels, subjects, seed) for of in feats]


def _canonical(recipe: str) -> str:
    """Return the canonical name of a recipe. Raise an error for an unknown name."""
    if recipe.startswith(_TUNE):
        return _TUNE + canonical(FINETUNE, recipe.removeprefix(_TUNE))
    if recipe not in LINEAR:
        raise UserError(f'--recipe {recipe}: choose one of '
                        f'{", ".join([*LINEAR, *(f"{_TUNE}{name}" for name in FINETUNE)])}')
    return canonical(LINEAR, recipe)


def _measure(scores: np.ndarray, labels: np.ndarray, temperature: float, threshold: float) -> dict:
    before, after = softmax(scores), softmax(scores, temperature)
    found = accuracies(labels, scores.argmax(1))
    refused = after.max(1).astype(np.float32) < np.float32(threshold)
    return dict(top1=found['top1'], ci95=found['ci95'], mean_class=found['mean_class'], num_test=len(labels),
                ece_before=calibration_error(before, labels), ece=calibration_error(after, labels),
                rejected=100 * float(refused.mean()))


def _unknown(fit, split: str, labels: np.ndarray, classes: list[str], parts: list[np.ndarray], temperature: float,
             most: int) -> dict:
    """Measure how well the highest probability separates known classes from one that was left out."""
    held = parts[0]
    possible = [label for label in range(len(classes)) if (labels[held] != label).any()]
    if len(classes) < 3 or most < 1 or not possible:
        reason = 'fewer than three classes' if len(classes) < 3 else 'no class was left out of the training'
        return dict(auroc=None, reason=reason)
    chosen = [possible[i] for i in np.unique(np.linspace(0, len(possible) - 1, min(most, len(possible))).round())
              .astype(int)]
    found = {classes[label]: area for label, area in _areas(fit, split, labels, held, chosen, temperature)}
    worst = min(found, key=lambda name: found[name])
    return dict(auroc=float(np.mean([*found.values()])), worst=found[worst], worst_class=worst, classes=len(found))


def _areas(fit, split: str, labels: np.ndarray, held: np.ndarray, chosen: Sequence[int],
           temperature: float) -> Iterator[tuple[int, float]]:
    from sklearn.metrics import roc_auc_score
    for label in chosen:
        rows = others(labels, held)
        rows = rows[labels[rows] != label]
        score = fit(rows, np.unique(labels[rows], return_inverse=True)[1])
        known, unknown = held[labels[held] != label], np.flatnonzero(labels == label)
        confidence = [softmax(score(split, some), temperature).max(1) for some in (known, unknown)]
        truth = np.repeat([1, 0], [len(known), len(unknown)])
        yield label, float(roc_auc_score(truth, np.concatenate(confidence)))
