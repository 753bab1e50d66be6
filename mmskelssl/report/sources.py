"""Open what a page is about: a run, a saved encoder or a saved classifier, and the store that it is applied to."""
import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmskelssl.datasets.skeleton_dataset import about_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import FeatureBank
from mmskelssl.evaluation.splits import SplitPair, default_pairs, parse_pairs
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor, open_encoder
from mmskelssl.inference.pools import pool_of, store_of
from mmskelssl.inference.saved.hub import find_folder, is_saved
from mmskelssl.inference.saved.read import read_config


@dataclass
class Source:
    """A run or a saved model, as far as it can be opened.

    Args:
        path: As the user has given it.
        name: Name on the page, different from those of other sources.
        extractor: Its encoder; None if there is no checkpoint that can be opened.
        classifier: The saved classifier, if it is one.
        store: The clips that it is applied to; None without an encoder or without a store.
        pooled: The encoder for all stores that it was trained on, if there are several. ``extractor`` is for ``store``.
        problems: Why something is missing.
    """
    path: str
    name: str
    extractor: FeatureExtractor | None = None
    classifier: SkeletonClassifier | None = None
    store: SkeletonStore | None = None
    pooled: FeatureExtractor | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def info(self) -> dict:
        return self.extractor.info if self.extractor else {}

    @property
    def method(self) -> str:
        return self.info.get('method') or (self.info.get('model') or {}).get('type', '')

    @property
    def is_run(self) -> bool:
        """Whether it is a work_dir, which has curves."""
        return osp.isdir(self.path) and not is_saved(self.path)

    def others(self) -> tuple[dict[str, FeatureExtractor], list[str]]:
        """Return the encoder for each other store that it was trained on, by name, and why one cannot be opened."""
        found, problems = {}, []
        for name in pool_of(self.pooled.info) if self.pooled else ():
            assert self.pooled is not None and self.store is not None
            try:
                if SkeletonStore(store_of(self.pooled.info, name, self.path)).data_hash != self.store.data_hash:
                    found[name] = self.pooled.for_store(name)
            except UserError as error:
                problems.append(f'{name}: {error}')
        return found, problems

    def bank(self, model=None) -> FeatureBank:
        """Return the features of the splits of the store, of the encoder or of another model of its kind."""
        assert self.extractor is not None and self.store is not None
        path, extractor = self.store.path, self.extractor
        return FeatureBank(model or extractor.model, lambda split: extractor.dataset(path, split), extractor.batch_size)

    def pair(self, text: str | None = None) -> SplitPair | None:
        """Return the splits to compare: those that are named, or those that the encoder was trained on.

        Raises:
            UserError: If a split that is named does not exist.
        """
        assert self.store is not None
        if text:
            return parse_pairs([text], self.store.splits)[0]
        try:
            pairs = default_pairs(self.store.splits)
        except UserError:  # a store without such splits
            return None
        data = self.info.get('dataset') or {}
        own = data.get('train_split') or about_data(data).get('split')
        return next((pair for pair in pairs if pair.train == own), pairs[0])


def open_sources(paths: Sequence[str], data: str | None = None, imports: Sequence[str] = (),
                 device: str | None = None, batch_size: int = 256) -> list[Source]:
    """Open runs and models. A run whose checkpoint is missing or damaged is opened without an encoder.

    Args:
        paths: Work_dirs, checkpoints, folders of saved models, or ``zoo/NAME``.
        data: Store. By default, the one that the encoder was trained on.
        imports: Plug-ins.
        device, batch_size: Of the encoder.

    Raises:
        UserError: If a path does not exist, a saved model is damaged, or a store that is named cannot be used.
    """
    import_plugins(imports)
    names = _names(paths)
    return [_open(path, name, data, device, batch_size) for path, name in zip(paths, names, strict=True)]


def _open(path: str, name: str, data: str | None, device: str | None, batch_size: int) -> Source:
    source = Source(path, name)
    if is_saved(path):
        if read_config(find_folder(path))['kind'] == 'classifier':
            source.classifier = SkeletonClassifier.from_pretrained(path, device, batch_size)
            source.extractor = source.classifier.networks[0]
        else:
            source.extractor = FeatureExtractor.from_pretrained(path, device, batch_size)
    elif not osp.exists(path):
        raise UserError(f'{path}: no such run or model; give the work_dir of a run, or the folder of a saved model')
    else:
        try:
            source.extractor = open_encoder(path, device, batch_size)
        except UserError as error:
            if osp.isfile(path):
                raise
            source.problems.append(str(error))
            return source
    assert source.extractor is not None
    given = data or source.extractor.store
    if (pool := pool_of(source.extractor.info)) and source.classifier is None:
        source.pooled, given = source.extractor, data or next(iter(pool))
    if not given:
        source.problems.append(f'{path} does not name its data: add --data STORE to see its clips')
        return source
    try:
        if source.pooled:
            source.extractor = source.pooled.for_store(given)
            given = source.extractor.store
        store = SkeletonStore(given)
        source.extractor.dataset(given)  # checks that the store fits
        source.store = store
    except UserError as error:
        if data:
            raise
        source.problems.append(f'{error}; --data STORE names another store')
    return source


def _names(paths: Sequence[str]) -> list[str]:
    """Return a short, different name for each path."""
    if len({osp.abspath(path) for path in paths}) < len(paths):
        raise UserError('a run is named twice')
    short = [osp.basename(osp.abspath(path)) for path in paths]
    return short if len(set(short)) == len(short) else [path.rstrip('/') for path in paths]


def class_names(store: SkeletonStore) -> list[str]:
    """Return a name for each class of a store."""
    count = max(len(store.classes), int(store.labels.max(initial=-1)) + 1)
    return [store.classes[c] if c < len(store.classes) else f'class {c}' for c in range(count)]


def labelled(store: SkeletonStore, rows: np.ndarray) -> bool:
    """Return whether all of some clips have a label."""
    return bool(len(rows)) and bool((store.labels[rows] >= 0).all())
