"""Extract features with a pre-trained encoder."""
import os
from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import torch

from mmskelssl.datasets.skeleton_dataset import about_data, packed_pipeline
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.rebuild import build_dataset, build_pipeline
from mmskelssl.engine.work_dir import last_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features, extract_features
from mmskelssl.inference.card import encoder_card
from mmskelssl.inference.change import agreed_fps, change_for, check_fps
from mmskelssl.inference.clips import ClipSet, PreparedClips, clips_in_memory, clips_of_store
from mmskelssl.inference.encoder import build_encoder, check_store_scores, coordinates, move_to
from mmskelssl.inference.pools import for_layout, for_store, layouts_of, pool_of, store_of
from mmskelssl.inference.saved.hub import find_folder, is_saved, push_folder
from mmskelssl.inference.saved.member import member_of, training_store
from mmskelssl.inference.saved.read import read_card, read_folder
from mmskelssl.inference.saved.write import write_folder
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.pool_preprocessor import PoolPreprocessor


class FeatureExtractor:
    """The frozen encoder of a checkpoint, with the preprocessing of its training.

    Clips must have the joints, axes and units of the store that the encoder was trained on. The features are the same
    as those evaluated by tools/evaluate.py.

    Args:
        checkpoint: Checkpoint that contains its model config, such as those of tools/train.py.
        device: Device, such as ``cuda``. By default, the GPU if there is one.
        batch_size: Number of clips to encode at once. It affects only memory and speed.
        imports: Plug-ins to import first: modules, or paths of packages and files.
        like: A config, or the name of a shipped one, whose preprocessing the clips get. It is for checkpoints that do
            not describe their own, such as converted official weights.
        fps: Frames per second of the clips that the encoder was trained on, if the checkpoint does not say it. Another
            rate than that of the checkpoint is refused.
        layout: Layout of the clips, for an encoder that was trained on stores of several layouts. Without it, such an
            encoder takes stores and ClipSets, which state their layout, but no arrays.

    Attributes:
        model: The whole model. Its ``backbone`` is the encoder.
        info: Description of the model and its preprocessing.
        layout: Skeleton layout of the clips.
        channels: Number of coordinates of a joint, C.
        scores: Whether the encoder was trained with ``data.scores``, so that clips need the scores of their joints.
        fps: Frames per second of the training clips, or None if unknown.
        store: Folder of the training store, or None if unknown.
    """
    fps: float | None

    def __init__(self, checkpoint: str | PathLike, device: str | torch.device | None = None, batch_size: int = 256,
                 imports: Sequence[str] = (), like: str | PathLike | None = None, fps: float | None = None,
                 layout: str | Mapping | SkeletonLayout | None = None):
        import_plugins(imports)
        _check_batch_size(batch_size)
        model, info = build_encoder(checkpoint, like)
        if info.get('dataset') is None:
            raise UserError(f'{os.fspath(checkpoint)}: does not say how its clips were preprocessed; use a checkpoint '
                            'written by tools/train.py, or name a config with like=...')
        self._set(os.fspath(checkpoint), *_for(model, info, layout, os.fspath(checkpoint)), device, batch_size)
        self.fps = agreed_fps(self.fps, fps, self.checkpoint)

    @classmethod
    def from_pretrained(cls, source: str | PathLike, device: str | torch.device | None = None, batch_size: int = 256,
                        imports: Sequence[str] = (), revision: str | None = None,
                        layout: str | Mapping | SkeletonLayout | None = None) -> 'FeatureExtractor':
        """Load a saved encoder.

        Args:
            source: A folder, ``zoo/NAME``, or a repository on the Hugging Face hub
                (:func:`~mmskelssl.inference.saved.hub.find_folder`).
            device, batch_size, imports, layout: As for the class.
            revision: Branch, tag or commit on the hub.
        """
        import_plugins(imports)
        _check_batch_size(batch_size)
        folder = find_folder(source, revision)
        config, (member,) = read_folder(folder, 'encoder')
        name = os.fspath(source)
        made = cls._of(name, *_for(member.model, member.info, layout, name), device, batch_size, config['fps'])
        made._card = read_card(folder)
        return made

    @classmethod
    def _of(cls, name: str, model: SkeletonEncoder, info: dict, device=None, batch_size: int = 256,
            fps: float | None = None) -> 'FeatureExtractor':
        made = cls.__new__(cls)
        made._set(name, model, info, device, batch_size, fps)
        return made

    def _set(self, name: str, model: SkeletonEncoder, info: dict, device, batch_size: int,
             fps: float | None = None) -> None:
        self.checkpoint, self.batch_size, self.info, self._card = name, batch_size, info, ''
        about = about_data(info['dataset'])
        self.store = info['dataset'].get('store')
        self.layout = get_layout(about['layout'])
        self.channels = coordinates(model, name)
        known = training_store(info['dataset'])
        self.fps = check_fps(fps or about.get('fps') or (known and known.head.get('fps')), f'{name}: fps')
        units = about.get('units') or (known and known.head.get('units')) or ''
        self._in_metres = units.partition(',')[0] == 'm' and not any(
            step['type'].endswith('FitRange') for step in info['dataset']['pipeline'])
        self.scores = bool(getattr(model.data_preprocessor, 'scores', False))
        self._transform = build_pipeline(packed_pipeline(info['dataset']['pipeline'], self.scores), name)
        self.model = move_to(model, device)

    @property
    def persons(self) -> str:
        """``each`` if the preprocessing keeps one person, and ``together`` otherwise."""
        steps = self.info['dataset']['pipeline']
        most = [step.get('max_persons', 2) for step in steps if step['type'].endswith('SelectPersons')]
        return 'each' if most == [1] else 'together'

    def __call__(self, clips, fps: float | None = None, convert: bool = False) -> np.ndarray:
        """Extract the features of clips, (N, D) float32, in the order of the clips.

        Args:
            clips: A list of arrays (T, V, C) or (M, T, V, C) with any number of frames and persons, or one array
                (N, T, V, C) or (N, M, T, V, C). Frames in which a person is absent are all zeros. If the encoder was
                trained with ``data.scores``, each joint has C + 1 numbers, the last of which is its score.
                Or a :class:`~mmskelssl.inference.clips.ClipSet`.
            fps: Frames per second of the clips, which are resampled if the encoder was trained on another rate. By
                default, the clips have the rate of the encoder.
            convert: Convert the clips of a ClipSet of another layout.

        Raises:
            UserError: If there are no clips, or a clip is empty, has another layout or number of coordinates, is not
                finite or shows no body. The message contains the name of the clip.
        """
        if not isinstance(clips, ClipSet):
            if self.is_open:
                raise UserError(f'{self.checkpoint} was trained on the layouts '
                                f'{", ".join(one.name for one in layouts_of(self.info))}: say which one the clips have '
                                'with layout=...')
            clips = clips_in_memory(clips, self.layout, self.channels, check_fps(fps, 'fps'), scores=self.scores)
        return self.of_clips(clips, convert).feats

    def of_clips(self, clips: ClipSet, convert: bool = False) -> Features:
        """Extract features, labels and ids of clips, see :meth:`prepared`."""
        if self.is_open:
            return self.for_layout(clips.layout).of_clips(clips, convert)
        return extract_features(self.model, self.prepared(clips, convert), self.batch_size)

    def prepared(self, clips: ClipSet, convert: bool = False) -> PreparedClips:
        """Return clips as a data set of prepared clips, resampled and converted where necessary."""
        if self.is_open:
            raise UserError(f'{self.checkpoint}: open it for the layout of the clips, with layout=...')
        change = change_for(clips, self.layout, self.channels, self.fps, self.checkpoint, convert)
        return PreparedClips(clips, self._transform, self.layout, change, self._in_metres)

    def of_store(self, store: str | PathLike | None = None, split: str = 'all', fps: float | None = None) -> Features:
        """Extract features, labels and ids of the clips of a store, preprocessed as described in the checkpoint.

        Args:
            store: Folder of the store. By default, the store that the encoder was trained on.
            split: Name of a split, or ``all``.
            fps: Frames per second of the clips, if the store does not say it.
        """
        if pool_of(self.info):
            return self.for_store(store).of_store(None, split, fps)
        return extract_features(self.model, self.dataset(store, split, fps), self.batch_size)

    @property
    def is_open(self) -> bool:
        """Whether the encoder was trained on several layouts, and none of them has been chosen."""
        return isinstance(self.model.data_preprocessor, PoolPreprocessor)

    def for_layout(self, layout: str | Mapping | SkeletonLayout) -> 'FeatureExtractor':
        """Return an extractor with the same encoder for clips of one layout."""
        model, info = for_layout(self.model, self.info, get_layout(layout), self.checkpoint)
        return self._twin(model, info)

    def for_store(self, store: str | PathLike | None) -> 'FeatureExtractor':
        """Return an extractor with the same encoder and the preprocessing of a store.

        Args:
            store: Folder of a store, or the name of one that the encoder was trained on. An encoder that was trained on
                a single store is returned unchanged.
        """
        if not pool_of(self.info):
            return self
        source = SkeletonStore(store_of(self.info, None if store is None else os.fspath(store), self.checkpoint))
        twin = self._twin(*for_store(self.model, self.info, source, self.checkpoint))
        twin.store = source.path
        return twin

    def _twin(self, model: SkeletonEncoder, info: dict) -> 'FeatureExtractor':
        device = next(self.model.parameters()).device
        twin = self._of(self.checkpoint, model, info, device, self.batch_size)
        twin.fps = twin.fps or self.fps
        return twin

    def dataset(self, store: str | PathLike | None = None, split: str = 'all', fps: float | None = None):
        """Return the data set of a split of a store, with the preprocessing of the encoder.

        Clips of a known frame rate that differs from that of the encoder are resampled.

        Raises:
            UserError: If no store is known, or it has another layout or number of coordinates.
        """
        if pool_of(self.info):
            return self.for_store(store).dataset(None, split, fps)
        if not (store or self.store):
            raise UserError(f'{self.checkpoint}: does not name its data; give the folder of a store')
        source = SkeletonStore(store or self.store)
        if (source.layout, source.channels) != (self.layout, self.channels):
            raise UserError(f'{source.path} has layout {source.layout.name!r} with {source.channels} coordinates per '
                            f'joint, but {self.checkpoint} was trained on {self.layout.name!r} with {self.channels}; '
                            'choose another store')
        check_store_scores(self.model, self.checkpoint, source)
        clips = clips_of_store(source, split, fps)
        if change_for(clips, self.layout, self.channels, self.fps, self.checkpoint):
            return self.prepared(clips)
        scores = dict(scores=True) if self.scores else {}
        return build_dataset({**self.info['dataset'], **scores, 'store': source.path}, split, self.checkpoint)

    def save_pretrained(self, folder: str | PathLike, half: bool = False, overwrite: bool = False,
                        data_licence: str | None = None, results: Sequence[Mapping] = ()) -> None:
        """Save the encoder, without the parts that only pre-training needs, to a folder.

        Args:
            folder: Folder to create, with ``config.json``, ``model.safetensors`` and ``README.md``.
            half: Store the weights as float16, in half the space.
            overwrite: Replace a saved model.
            data_licence: Licence of the training data, for the card.
            results: Rows of a results.json about this encoder, for the card. An encoder that was loaded from a folder
                keeps its card.
        """
        member = member_of(self.model, self.info)
        card = self._card or encoder_card(member.info, self.channels, self.fps, data_licence, results, half)
        write_folder(folder, 'encoder', [member], card, half, overwrite, fps=self.fps)

    def push_to_hub(self, repo_id: str, private: bool = False, token: str | None = None, **options) -> str:
        """Save the encoder and upload it to the Hugging Face hub, which needs the package huggingface_hub.

        Args:
            repo_id: ``OWNER/NAME`` of the repository, which is created if necessary.
            private: Whether a new repository is private.
            token: Token of the hub. By default, that of ``huggingface-cli login``.
            **options: Arguments of :meth:`save_pretrained`.

        Returns:
            The address of the upload.
        """
        return push_folder(lambda folder: self.save_pretrained(folder, **options), repo_id, private, token)


def open_encoder(source: str, device=None, batch_size: int = 256, imports: Sequence[str] = (),
                 like: str | None = None, layout: str | Mapping | SkeletonLayout | None = None) -> FeatureExtractor:
    """Open an encoder named on a command line.

    Args:
        source: A checkpoint, a work_dir to use its last checkpoint, the folder of a saved encoder, or ``zoo/NAME``.
        device, batch_size, imports, like, layout: As for :class:`FeatureExtractor`.
    """
    if is_saved(source):
        if like:
            raise UserError(f'{source} describes its own preprocessing: leave out --like {like}')
        return FeatureExtractor.from_pretrained(source, device, batch_size, imports, layout=layout)
    return FeatureExtractor(last_checkpoint(source), device, batch_size, imports, like, layout=layout)


def _for(model: SkeletonEncoder, info: dict, layout, where: str) -> tuple[SkeletonEncoder, dict]:
    """Return an encoder and its description for clips of a layout, if one is given."""
    if layout is None:
        return model, info
    if not pool_of(info):
        raise UserError(f'{where} was trained on one layout: leave out layout={str(layout)[:40]!r}')
    return for_layout(model, info, get_layout(layout), where)


def _check_batch_size(batch_size: int) -> None:
    if type(batch_size) is not int:
        raise UserError(f'batch size {batch_size!r}: it must be a whole number')
