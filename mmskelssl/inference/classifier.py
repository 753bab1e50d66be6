"""Classify clips with a saved model: encoders with linear layers, and calibrated probabilities."""
import os
from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch

from mmskelssl.engine.plugins import import_plugins
from mmskelssl.errors import UserError
from mmskelssl.evaluation.calibration import softmax
from mmskelssl.inference.change import check_fps
from mmskelssl.inference.clips import ClipSet, clips_in_memory
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.saved.hub import find_folder, push_folder
from mmskelssl.inference.saved.member import Member
from mmskelssl.inference.saved.read import read_card, read_folder
from mmskelssl.inference.saved.write import write_folder
from mmskelssl.inference.timeline import PERSONS, Timeline
from mmskelssl.inference.windows import cut


class SkeletonClassifier:
    """A fitted classifier, as written by ``mmskelssl fit``.

        classifier = SkeletonClassifier.from_pretrained('models/mine')
        predictions = classifier([clip, another])
        predictions.names, predictions.probabilities

    Args:
        name: Name for messages.
        config: Content of its ``config.json`` without the members: ``classes``, ``weights``, ``temperature``,
            ``threshold`` and ``fps``.
        members: Its networks, each a :class:`~mmskelssl.models.SkeletonClassifier`.
        device: Device, such as ``cuda``. By default, the GPU if there is one.
        batch_size: Number of clips to encode at once.
        card: Text of its ``README.md``.

    Attributes:
        classes: K class names.
        fps: Frames per second of the training clips, or None if unknown.
        layout: Skeleton layout of the clips.
        channels: Number of coordinates of a joint, C.
        takes_scores: Whether clips need the scores of their joints, as the last of C + 1 numbers.
        temperature: Divides the weighted sum of the members' scores before the softmax.
        threshold: Clips whose highest probability is lower are unknown.
    """

    def __init__(self, name: str, config: dict, members: Sequence[Member],
                 device: str | torch.device | None = None, batch_size: int = 256, card: str = ''):
        self.card = card
        self.config, self.members = {**config, 'members': None}, list(members)
        self.classes, self.temperature = list(config['classes']), float(config['temperature'])
        self.threshold, self.weights = float(config['threshold']), [float(weight) for weight in config['weights']]
        self.fps: float | None = config.get('fps')
        self.networks = [FeatureExtractor._of(name, member.model, member.info, device, batch_size, self.fps)
                         for member in self.members]
        first = self.networks[0]
        self.layout, self.channels = first.layout, first.channels
        self.takes_scores = any(network.scores for network in self.networks)
        for network in self.networks:
            if (network.layout, network.channels) != (self.layout, self.channels):
                raise UserError(f'{name}: its members take clips of different layouts')

    @classmethod
    def from_pretrained(cls, source: str | PathLike, device: str | torch.device | None = None, batch_size: int = 256,
                        imports: Sequence[str] = (), revision: str | None = None) -> 'SkeletonClassifier':
        """Load a saved classifier. Arguments are those of :meth:`FeatureExtractor.from_pretrained`."""
        import_plugins(imports)
        folder = find_folder(source, revision)
        config, members = read_folder(folder, 'classifier')
        return cls(os.fspath(source), config, members, device, batch_size, read_card(folder))

    def __call__(self, clips, fps: float | None = None, convert: bool = False) -> Predictions:
        """Classify clips. Arguments are those of :meth:`FeatureExtractor.__call__`."""
        if not isinstance(clips, ClipSet):
            clips = clips_in_memory(clips, self.layout, self.channels, check_fps(fps, 'fps'), scores=self.takes_scores)
        chances = softmax(self.scores(clips, convert), self.temperature).astype(np.float32)
        return Predictions(list(clips.ids), self.classes, chances, self.threshold)

    def over_time(self, clips, window: float = 2., stride: float = .5, fps: float | None = None,
                  persons: str | None = None, convert: bool = False) -> Timeline:
        """Classify long recordings window by window.

            for segment in classifier.over_time([recording], fps=30).segments():
                print(segment.start, segment.end, segment.label, segment.probability)

        Args:
            clips: Recordings, as for calling the classifier.
            window, stride: Durations in seconds, see :func:`~mmskelssl.inference.windows.cut`.
            fps: Frames per second of recordings that do not state theirs. By default, that of the classifier.
            persons: ``each`` cuts and classifies the track of each person by itself, ``together`` shows all persons in
                each window. By default, :attr:`persons`.
            convert: Convert recordings of another layout.

        Raises:
            UserError: If the frame rate is not known, or a window cannot be classified.
        """
        if not isinstance(clips, ClipSet):
            clips = clips_in_memory(clips, self.layout, self.channels, check_fps(fps, 'fps'), scores=self.takes_scores)
        rate = clips.fps or fps or self.fps
        if rate is None:
            raise UserError('the frame rate of the recordings is not known, so their windows are not: add --fps')
        persons = persons or self.persons
        if persons not in PERSONS:
            raise UserError(f'--persons {persons}: choose one of {", ".join(PERSONS)}')
        parts, windows = cut(clips, window, stride, rate, persons == 'each')
        return Timeline(clips, windows, self(parts, convert=convert))

    @property
    def persons(self) -> str:
        """``each`` if the preprocessing keeps one person, and ``together`` otherwise."""
        return self.networks[0].persons

    def scores(self, clips: ClipSet, convert: bool = False) -> np.ndarray:
        """Return the scores (N, K) of clips before calibration: the weighted sum of the members' logits."""
        total = np.zeros((len(clips), len(self.classes)))
        for network, weight in zip(self.networks, self.weights, strict=True):
            feats = network.of_clips(clips, convert).feats.astype(np.float64)
            layer = network.model.head
            with np.errstate(over='ignore', invalid='ignore'):  # reported below
                total += weight * (feats @ layer.weight.detach().cpu().double().numpy().T
                                   + layer.bias.detach().cpu().double().numpy())
        if not np.isfinite(total).all():
            raise UserError(f'{self.networks[0].checkpoint}: the scores of its clips are not finite: its weights are '
                            'too large')
        return total

    def save_pretrained(self, folder: str | PathLike, half: bool = False, overwrite: bool = False) -> None:
        """Save the classifier to a folder with ``config.json``, ``model.safetensors`` and ``README.md``.

        Args:
            folder: Folder to create.
            half: Store the weights as float16, in half the space.
            overwrite: Replace a saved model.
        """
        about = {key: value for key, value in self.config.items()
                 if key not in ('format', 'version', 'kind', 'written_by', 'members')}
        write_folder(folder, 'classifier', self.members, self.card, half, overwrite, **about)

    def push_to_hub(self, repo_id: str, private: bool = False, token: str | None = None, **options) -> str:
        """Save the classifier and upload it, see :meth:`FeatureExtractor.push_to_hub`."""
        return push_folder(lambda folder: self.save_pretrained(folder, **options), repo_id, private, token)

