"""Measure encoders for a page: accuracies with intervals, next to an untrained encoder and raw coordinates."""
from dataclasses import dataclass

import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.evaluation.baselines import raw_neighbours
from mmskelssl.evaluation.calibration import softmax
from mmskelssl.evaluation.features import FeatureBank
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.evaluation.protocols import measure_encoder
from mmskelssl.evaluation.splits import SplitPair
from mmskelssl.inference.clips import clips_of_store
from mmskelssl.inference.encoder import move_to
from mmskelssl.report.sources import Source, class_names, labelled

RECIPES = {'knn': ['1nn'], 'linear': ['logreg']}
TITLES = {'knn': 'nearest neighbour', 'linear': 'linear probe', 'kept': 'as saved'}


@dataclass
class Predictions:
    """What is predicted for the clips of a test split, by the linear probe or by the saved classifier.

    Args:
        rows: (N,) positions in the store.
        labels: (N,) classes.
        probabilities: (N, K).
        by: Who predicts, in words.
    """
    rows: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    by: str

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(1)

    @property
    def confidence(self) -> np.ndarray:
        return self.probabilities.max(1)


@dataclass
class Measured:
    """The table of a page and the predictions behind it.

    Args:
        rows: ``name``, and the accuracies of each column of ``columns``: ``top1`` and ``ci95``.
        columns: Titles by protocol.
        predictions: Those of the first source.
        notes: Why something was not measured.
    """
    rows: list[dict]
    columns: dict[str, str]
    predictions: Predictions | None
    notes: list[str]


def measure_sources(sources: list[Source], banks: list[FeatureBank], pair: SplitPair | None, seed: int = 0) -> Measured:
    """Measure encoders on the same splits.

    Args:
        sources: Those with a store; all have the same one.
        banks: Their features.
        pair: Splits to train probes and to test on.
        seed: Seed of the probes, and of untrained encoders that state none.
    """
    store = sources[0].store
    assert store is not None
    if pair is None:
        return Measured([], {}, None, [f'{store.path} has no training and test split, so no accuracy is measured; '
                                       f'mmskelssl prepare split {store.path} --share 0.2 draws one'])
    train, test = store.split(pair.train), store.split(pair.test)
    bare = [name for name, rows in ((pair.train, train), (pair.test, test)) if not labelled(store, rows)]
    if bare:
        return Measured([], {}, None, [f'not all clips of {" and ".join(bare)} have a label, so no accuracy is '
                                       'measured; mmskelssl prepare relabel adds labels'])
    rows, notes, predictions = [], [], None
    for source, bank in zip(sources, banks, strict=True):
        try:
            row, found = _measure(bank, pair, source.name, seed, store)
        except UserError as error:
            notes.append(f'{source.name}: {error}')
            continue
        if source.classifier is not None:
            found = _kept(source, pair)
            row['kept'] = accuracies(found.labels, found.predicted)
        predictions = predictions or found
        rows.append(row)
    for source in sources[:1] if rows else []:
        assert source.extractor is not None
        info = source.extractor.info
        untrained = build_model(info['model'], source.path, seed=info.get('seed') or seed)
        device = next(source.extractor.model.parameters()).device
        rows.append(_measure(source.bank(move_to(untrained, device)), pair, 'untrained encoder', seed, store)[0])
    raw = raw_neighbours(store, train, test)
    if raw is None:
        notes.append('the store is too large to compare raw coordinates')
    else:
        rows.append(dict(name='raw coordinates', knn=accuracies(store.labels[test], raw)))
    columns = {key: title for key, title in TITLES.items() if any(key in row for row in rows)}
    return Measured(rows, columns, predictions, notes)


def _measure(bank: FeatureBank, pair: SplitPair, name: str, seed: int,
             store: SkeletonStore) -> tuple[dict, Predictions]:
    row: dict = dict(name=name)
    found = None
    for measured in measure_encoder(bank, [pair], list(RECIPES), {}, RECIPES, seed):
        row[measured.row['protocol']] = measured.row
        if measured.row['protocol'] == 'linear' and measured.scores is not None:
            places = np.array([store.positions[name] for name in measured.test.ids])
            found = Predictions(places, measured.test.labels, softmax(measured.scores),
                                'a linear probe on the features')
    assert found is not None
    return row, found


def _kept(source: Source, pair: SplitPair) -> Predictions:
    """Return the predictions of a saved classifier, with its classes in the order of the store's."""
    assert source.classifier is not None and source.store is not None
    store, classifier = source.store, source.classifier
    rows = store.split(pair.test)
    chances = classifier(clips_of_store(store, pair.test)).probabilities
    names = class_names(store)
    ordered = np.zeros((len(rows), len(names)))
    unknown = [name for name in classifier.classes if name not in names]
    if unknown:
        raise UserError(f'{source.path}: its class {unknown[0]!r} is not a class of {store.path}; choose another '
                        '--data')
    ordered[:, [names.index(name) for name in classifier.classes]] = chances
    return Predictions(rows, store.labels[rows], ordered, 'the saved classifier')
