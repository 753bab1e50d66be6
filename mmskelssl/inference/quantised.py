"""Dynamic quantisation of ONNX models to 8-bit integers, and what it costs in accuracy."""
import os.path as osp
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.verify import split_pairs
from mmskelssl.errors import UserError
from mmskelssl.evaluation.knn import knn_classify
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.inference.change import change_for
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.clips import clips_of_store
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.graphs import networks_of, quiet, takes_lengths
from mmskelssl.inference.onnx import Session, import_packages, open_session

LAYERS = ('Conv', 'Gemm', 'MatMul')
BATCH = 64


def quantise(data: bytes, out: str) -> bytes:
    """Store the weights of convolutions and linear layers as 8-bit integers.

    Their inputs are quantised when they are computed (dynamic quantisation).

    Args:
        data: Content of an ONNX file.
        out: File to write, for messages.

    Raises:
        UserError: If onnxruntime is missing, or the model has no layer that can be quantised, such as a GRU.
    """
    onnx, *_ = import_packages('to quantise', 'onnx', 'onnxruntime')
    from onnxruntime.quantization import QuantType, quantize_dynamic
    proto = onnx.load_from_string(data)
    weights = {value.name for value in proto.graph.initializer}
    if not any(node.op_type in LAYERS and weights & set(node.input) for node in proto.graph.node):
        raise UserError(f'{out}: the model has no convolution or linear layer, so --int8 would change nothing '
                        '(recurrent layers are not quantised)')
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = osp.join(folder, 'int8.onnx')
        # Unsigned weights, because onnxruntime has no convolution of signed ones.
        quantize_dynamic(proto, path, weight_type=QuantType.QUInt8, op_types_to_quantize=list(LAYERS))
        with open(path, 'rb') as file:
            return file.read()


@dataclass(frozen=True)
class Cost:
    """Accuracy before and after quantisation.

    Args:
        measure: What is measured, on which clips.
        before, after: Top-1 accuracy in percent.
        same: Share of the clips with the same answer, in percent.
    """
    measure: str
    before: float
    after: float
    same: float

    def __str__(self) -> str:
        return (f'{self.measure}: {self.before:.1f} % in float32, {self.after:.1f} % in int8; '
                f'{self.same:.1f} % of the answers are the same')


def measure_cost(model: FeatureExtractor | SkeletonClassifier, before: bytes, after: bytes, whole: bool,
                 store: str | None = None) -> Cost:
    """Measure two ONNX files of a model on the test split of a store.

    A classifier is measured by its own classes, an encoder by its nearest neighbour in the training split.

    Args:
        model: The model that was exported.
        before, after: Contents of the files in float32 and int8.
        whole: Whether they take raw clips.
        store: Store. By default, the one that the encoder was trained on.

    Raises:
        UserError: If no store is known, or it has no labels or no pair of training and test splits.
    """
    first = networks_of(model)[0]
    path = store or first.store
    if not path:
        raise UserError('--int8: name a store to measure the loss of accuracy on (--data STORE)')
    source = SkeletonStore(path)
    pairs = split_pairs(source.splits)
    if not pairs:
        raise UserError(f'{path} has no training and test splits to measure the loss of accuracy on: name another '
                        'store with --data, or draw splits with mmskelssl prepare split')
    train, test = pairs[0]
    sessions = open_session(before), open_session(after)
    labels = source.labels[source.split(test)]
    if (labels < 0).any():
        raise UserError(f'{path}: clips of {test!r} have no label: name another store with --data')
    outputs = [answers(session, first, path, test, whole) for session in sessions]
    if isinstance(model, SkeletonClassifier):
        if source.classes != model.classes:
            raise UserError(f'{path} has other classes than the model: name another store with --data')
        guesses = [made.argmax(1) for made in outputs]
        measure = f'top-1 on {len(labels)} clips of {test!r}'
    else:
        bank = source.labels[source.split(train)]
        guesses = [knn_classify(answers(session, first, path, train, whole), bank, made)[1]
                   for session, made in zip(sessions, outputs, strict=True)]
        measure = f'nearest neighbour on {len(labels)} clips of {test!r}'
    top1 = [accuracies(labels, guess)['top1'] for guess in guesses]
    return Cost(measure, top1[0], top1[1], 100 * float(np.mean(guesses[0] == guesses[1])))


def answers(session: Session, network: FeatureExtractor, store: str, split: str, whole: bool) -> np.ndarray:
    """Return the outputs (N, ...) of an ONNX model for the clips of a split."""
    if whole:
        clips = clips_of_store(SkeletonStore(store), split)
        change = change_for(clips, network.layout, network.channels, network.fps, network.checkpoint)
        raw = map(clips.read, range(len(clips)))  # resampled, as the file does not know their frame rate
        return np.stack([session(np.asarray(keypoints)) for keypoints, _ in (map(change, raw) if change else raw)])
    return np.concatenate([session(*batch) for batch in batches(network, store, split)])


def batches(network: FeatureExtractor, store: str, split: str) -> Iterator[list[np.ndarray]]:
    """Yield the inputs of a model on prepared clips."""
    dataset = network.dataset(store, split)
    for start in range(0, len(dataset.ids), BATCH):
        batch = dataset.__getitems__(list(range(start, min(start + BATCH, len(dataset.ids)))))
        yield [batch['inputs'].numpy(), *([batch['data_samples']['num_frames'].numpy()] if takes_lengths(network)
                                          else [])]
