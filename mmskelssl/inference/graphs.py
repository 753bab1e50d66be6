"""What is exported: a model on prepared clips, and the whole way from a raw clip to the answer."""
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import cast

import torch
from torch import Tensor, nn

from mmskelssl.datasets.transforms import ResizeFrames
from mmskelssl.errors import UserError
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor, open_encoder
from mmskelssl.inference.pipeline import TorchPipeline
from mmskelssl.inference.pools import layouts_of
from mmskelssl.inference.saved.hub import find_folder, is_saved
from mmskelssl.inference.saved.read import read_config
from mmskelssl.layouts.library import read_layout

# Sizes of the example that a graph is traced with. They differ, so that none is confused with another.
BATCH, FRAMES, PERSONS, RAW_FRAMES = 3, 13, 2, 17


def open_model(source: str, like: str | None = None,
               layout: str | None = None) -> FeatureExtractor | SkeletonClassifier:
    """Open an encoder or a saved classifier on the CPU.

    Args:
        source, like: As for ``open_encoder``.
        layout: Layout of the clips, for an encoder that was trained on several.
    """
    if is_saved(source) and read_config(find_folder(source))['kind'] == 'classifier':
        if like:
            raise UserError(f'{source} describes its own preprocessing: leave out --like {like}')
        if layout:
            raise UserError(f'{source} is a classifier of one layout: leave out --layout {layout}')
        return SkeletonClassifier.from_pretrained(source, 'cpu')
    extractor = open_encoder(source, 'cpu', like=like, layout=read_layout(layout) if layout else None)
    if extractor.is_open:
        raise UserError(f'{source} was trained on several layouts: add --layout with one of '
                        f'{", ".join(one.name for one in layouts_of(extractor.info))}')
    return extractor


def networks_of(model: FeatureExtractor | SkeletonClassifier) -> list[FeatureExtractor]:
    """Return the networks of a classifier, or the one of an encoder."""
    return model.networks if isinstance(model, SkeletonClassifier) else [model]


def takes_lengths(network: FeatureExtractor) -> bool:
    """Return whether prepared clips may differ in their numbers of real frames."""
    return not any(isinstance(step, ResizeFrames) for step in network._transform.transforms)


class Graph(nn.Module):
    """Base class of what is exported.

    Attributes:
        inputs: Names of the inputs.
        axes: Name of each axis of the inputs that is free, '' for the others.
        output: Name of the output: ``features``, or the ``probabilities`` of a classifier.
        example: Example of the inputs.
    """
    inputs: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    example: tuple[Tensor, ...]

    def __init__(self, model: FeatureExtractor | SkeletonClassifier):
        super().__init__()
        self.networks = nn.ModuleList(network.model.eval() for network in networks_of(model))
        self.weights: Sequence[float] = model.weights if isinstance(model, SkeletonClassifier) else ()
        self.temperature = model.temperature if isinstance(model, SkeletonClassifier) else 1.
        self.output = 'probabilities' if self.weights else 'features'

    def answer(self, features: Sequence[Tensor]) -> Tensor:
        """Return the features (N, D) of the only network, or the probabilities (N, K) from those of all networks."""
        if not self.weights:
            return features[0]
        heads = [cast(nn.Linear, network.head) for network in self.networks]
        scores = torch.stack([weight * head(feats)
                              for weight, head, feats in zip(self.weights, heads, features, strict=True)])
        return torch.softmax(scores.sum(0) / self.temperature, 1)

    @staticmethod
    def encode(network, clips: Tensor, num_frames: Tensor | None) -> Tensor:
        """Return the features (N, D) of prepared clips (N, C, T, V, M)."""
        return network.extract_feat(network.data_preprocessor.represent(clips, num_frames), num_frames)


class PreparedGraph(Graph):
    """A model on prepared clips (N, C, T, V, M), the output of the pipeline: batch, length and persons are free.

    Clips of different lengths are padded with zeros, and ``num_frames`` (N,) int64 counts the real frames. A model
    whose pipeline resizes all clips to one length has no such input.

    Raises:
        UserError: If the networks of a classifier have different pipelines.
    """

    def __init__(self, model: FeatureExtractor | SkeletonClassifier, where: str):
        super().__init__(model)
        first, *others = networks_of(model)
        if any(_pipeline(network) != _pipeline(first) for network in others):
            raise UserError(f'{where}: its networks prepare clips in different ways: add --whole, which takes raw '
                            'clips')
        self.inputs = ('clips', 'num_frames') if takes_lengths(first) else ('clips',)
        persons = first.model.concat_persons or getattr(first.model.backbone, 'num_persons', None)
        self.axes = (('batch', '', 'frames', '', '' if persons else 'persons'), ('batch',))[:len(self.inputs)]
        clips = torch.rand(BATCH, first.channels + first.scores, FRAMES, first.layout.num_joints, persons or PERSONS)
        self.example = (clips, torch.tensor([FRAMES, 5, 8]))[:len(self.inputs)]

    def forward(self, clips: Tensor, num_frames: Tensor | None = None) -> Tensor:
        return self.answer([self.encode(network, clips, num_frames) for network in self.networks])


class WholeGraph(Graph):
    """The way from a raw clip (M, T, V, C) of any length to features (D,) or probabilities (K,).

    It has the joints, axes, units and frame rate of the training clips. A clip without a body gives NaN.

    Raises:
        UserError: If a step of the pipeline cannot be exported, or the encoder takes scores.
    """
    inputs, axes = ('clip',), (('persons', 'frames', '', ''),)

    def __init__(self, model: FeatureExtractor | SkeletonClassifier, where: str):
        super().__init__(model)
        networks, self.which, known = networks_of(model), [], {}
        if any(network.scores for network in networks):
            raise UserError(f'{where}: --whole takes clips without scores, but the encoder was trained with '
                            'data.scores; leave out --whole to export it on prepared clips')
        self.pipelines = nn.ModuleList()
        for network in networks:  # streams usually share a pipeline
            key = _pipeline(network)
            if key not in known:
                known[key] = len(self.pipelines)
                self.pipelines.append(TorchPipeline(network._transform.transforms, network.layout, where))
            self.which.append(known[key])
        first = networks[0]
        self.example = (torch.rand(PERSONS, RAW_FRAMES, first.layout.num_joints, first.channels),)

    def forward(self, clip: Tensor) -> Tensor:
        made = [pipeline(clip) for pipeline in self.pipelines]
        answer = self.answer([self.encode(network, *made[i])
                              for network, i in zip(self.networks, self.which, strict=True)])[0]
        nobody = sum(clips.isnan().sum() for clips, _ in made) > 0
        return torch.where(nobody, torch.nan, answer)  # onnxruntime's GRU loses the NaN of its input


def _pipeline(network: FeatureExtractor) -> str:
    return json.dumps(network.info['dataset']['pipeline'], sort_keys=True, default=str)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters, which print whole graphs when they fail."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


def trace(graph: Graph) -> torch.export.ExportedProgram:
    """Trace a graph for any batch, and for any length and number of persons if its encoder allows that.

    A note reports an axis that the encoder has fixed at the size of the example.

    Raises:
        UserError: If the encoder has a branch that depends on values or on the size of the batch.
    """
    kinds = {'batch': torch.export.Dim.DYNAMIC}
    shapes = tuple({i: kinds.get(name, torch.export.Dim.AUTO) for i, name in enumerate(axes) if name}
                   for axes in graph.axes)
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(graph.eval(), graph.example, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # noqa: BLE001  torch.export raises errors of many kinds
        names = ', '.join(type(network.backbone).__name__ for network in graph.networks)
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'torch.export cannot trace the encoder ({names}): {reason}') from error
    traced = {node.name: node.meta['val'].shape for node in program.graph.nodes if node.op == 'placeholder'}
    for given, axes in zip(program.graph_signature.user_inputs, graph.axes, strict=True):
        for size, name in zip(traced[str(given)], axes, strict=True):
            if name and str(size).isdigit():  # a symbol that was found to be constant, or a number
                print(f'note: the encoder fixes the number of {name} at {size}')
    return program
