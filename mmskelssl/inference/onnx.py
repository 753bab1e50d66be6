"""Write models as ONNX or for torch.export, and compare what was written with the model."""
import importlib
import io
import json
import re
from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np
import torch

from mmskelssl import __version__
from mmskelssl.atomic import write_atomically
from mmskelssl.engine.config import layout_config
from mmskelssl.errors import UserError
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.graphs import Graph, PreparedGraph, WholeGraph, networks_of, quiet, trace

TOLERANCE = 1e-4  # of the comparison after an export, relative to the largest output
Session = Callable[..., np.ndarray]


def make_graph(model: FeatureExtractor | SkeletonClassifier, where: str, whole: bool = False) -> Graph:
    """Return what is exported of a model: on prepared clips or, with ``whole``, from a raw clip."""
    return WholeGraph(model, where) if whole else PreparedGraph(model, where)


def export_program(model: FeatureExtractor | SkeletonClassifier, out: str, whole: bool = False) -> None:
    """Write a model for ``torch.export.load``.

    A program with a BiGRU needs ``import mmskelssl.ops.exported_gru`` before it is loaded.

    Args:
        model: An encoder or a classifier.
        out: File to write, ``.pt2``.
        whole: Export the whole way from a raw clip.
    """
    graph, data = make_graph(model, out, whole), io.BytesIO()
    torch.export.save(trace(graph), data, extra_files={'mmskelssl.json': json.dumps(describe(model, graph))})
    write_file(out, data.getvalue())


def export_onnx(model: FeatureExtractor | SkeletonClassifier, out: str, whole: bool = False,
                write: bool = True) -> bytes:
    """Write a model as ONNX, with its description under the key ``mmskelssl`` of the metadata.

    If onnxruntime is installed, the outputs of the file are compared with those of the model.

    Args:
        model: An encoder or a classifier.
        out: File to write.
        whole: Export the whole way from a raw clip.
        write: Whether to write the file.

    Returns:
        The content of the file.

    Raises:
        UserError: If a package is missing, the model cannot be exported, or the file gives other outputs.
    """
    graph = make_graph(model, out, whole)
    data = onnx_bytes(graph, describe(model, graph))
    compare(graph, data, out)
    if write:
        write_file(out, data)
    return data


def describe(model: FeatureExtractor | SkeletonClassifier, graph: Graph) -> dict:
    """Return what a program that uses the exported model needs to know, as plain data."""
    first = networks_of(model)[0]
    about = dict(written_by=f'mmskelssl {__version__}', inputs=list(graph.inputs), output=graph.output,
                 layout=layout_config(first.layout), joints=list(first.layout.joints), channels=first.channels,
                 fps=model.fps, pipeline=first.info['dataset']['pipeline'])
    if isinstance(model, SkeletonClassifier):
        about.update(classes=model.classes, threshold=model.threshold)
    return about


def onnx_bytes(graph: Graph, about: Mapping, program: torch.export.ExportedProgram | None = None) -> bytes:
    """Convert a graph to ONNX.

    Args:
        graph: What is exported.
        about: Its description for the metadata.
        program: The traced graph. By default, it is traced.
    """
    onnx, *_ = import_packages('to write ONNX', 'onnx', 'onnxscript')
    program = trace(graph) if program is None else program
    try:
        with quiet():
            made = torch.onnx.export(program, (), dynamo=True, verbose=False, input_names=list(graph.inputs),
                                     output_names=[graph.output], custom_translation_table=_translations())
    except torch.onnx.OnnxExporterError as error:
        raise UserError('the encoder has an operation that ONNX lacks: '
                        f'{" ".join(str(error.__cause__ or error).split())[:300]}') from error
    assert made is not None  # dynamo=True returns a program
    proto = made.model_proto
    _clean(proto, graph)
    proto.producer_name, proto.producer_version = 'mmskelssl', __version__
    onnx.helper.set_model_props(proto, {'mmskelssl': json.dumps(about)})
    return proto.SerializeToString()


def _translations() -> dict[Callable, Callable]:
    """Return the ONNX functions of this package's own operators."""
    from onnxscript import opset18 as op

    def gru_layer(x, lengths, w, r, b):
        states, _ = op.GRU(op.Transpose(x, perm=[1, 0, 2]), w, r, b, op.Cast(lengths, to=6), direction='bidirectional',
                           hidden_size=int(r.shape[2]), linear_before_reset=1)
        return op.Reshape(op.Transpose(states, perm=[2, 0, 1, 3]), op.Constant(value_ints=[0, 0, -1]))
    return {torch.ops.mmskelssl.gru_layer.default: gru_layer}


def _clean(proto, graph: Graph) -> None:
    """Name the free axes, and remove the paths and lines of source code that the exporter has noted."""
    names: dict[str, str] = {}
    for value, axes in zip(proto.graph.input, graph.axes, strict=True):
        for dim, name in zip(value.type.tensor_type.shape.dim, axes, strict=True):
            if name and dim.dim_param and not dim.dim_param.isdigit():
                names.setdefault(dim.dim_param, name)
            elif dim.dim_param.isdigit():  # an axis that the encoder has fixed
                dim.dim_value = int(dim.dim_param)
    if names:
        pattern = re.compile(r'\b(' + '|'.join(map(re.escape, names)) + r')\b')
        for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param:
                    dim.dim_param = pattern.sub(lambda found: names[found[0]], dim.dim_param)
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input,
                 *proto.graph.output, *proto.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ''


def open_session(data: bytes | str, threads: int = 0) -> Session:
    """Open an ONNX model in onnxruntime.

    Args:
        data: Content of a file, or its path.
        threads: Number of threads; 0 for one per core.

    Returns:
        A function from the inputs to the output.
    """
    runtime, = import_packages('to run ONNX', 'onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = runtime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    names = [value.name for value in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[0]


def compare(graph: Graph, data: bytes, out: str) -> float | None:
    """Compare the outputs of an ONNX model with those of the graph, on the example and on another length.

    Returns:
        The largest difference relative to the largest output, or None without onnxruntime.

    Raises:
        UserError: If the difference exceeds :data:`TOLERANCE`.
    """
    try:
        session = open_session(data)
    except UserError:
        print('note: onnxruntime is not installed, so the file was not compared with the model')
        return None
    worst = 0.
    axis = 2 if 'clips' in graph.inputs else 1
    for clips, *rest in (graph.example, (torch.cat([graph.example[0]] * 2, axis), *graph.example[1:])):
        with torch.no_grad():
            expected = graph(clips, *rest).numpy()
        made = session(clips.numpy(), *(part.numpy() for part in rest))
        worst = max(worst, float(np.abs(made - expected).max() / max(float(np.abs(expected).max()), 1e-6)))
    if not worst <= TOLERANCE:
        raise UserError(f'{out} is not written: its outputs differ from those of the model by {worst:.2g} of the '
                        'largest output')
    return worst


def import_packages(what: str, *names: str) -> list[ModuleType]:
    """Import optional packages, and say in one line which of them are missing and what they are needed for."""
    made, missing = [], []
    for name in names:
        try:
            made.append(importlib.import_module(name))
        except ImportError:
            missing.append(name)
    if missing:
        raise UserError(f'{", ".join(missing)} {"are" if missing[1:] else "is"} needed {what}: '
                        f'pip install {" ".join(missing)}')
    return made


def write_file(out: str, data: bytes) -> None:
    """Write a file atomically, and report in one line what prevents it."""
    try:
        write_atomically(out, data)
    except OSError as error:
        raise UserError(f'{out} cannot be written: {error.strerror or error}; choose another place') from error
