"""Exported models give the features and probabilities of the models themselves, for any batch, length and persons."""
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmskelssl import cli
from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.inference import quantised
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.clips import clips_in_memory, clips_of_store
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.graphs import PreparedGraph, WholeGraph, networks_of, trace
from mmskelssl.inference.onnx import (
    compare,
    describe,
    export_onnx,
    export_program,
    make_graph,
    onnx_bytes,
    open_session,
)
from mmskelssl.inference.quantised import measure_cost, quantise
from mmskelssl.inference.saved.member import Member
from mmskelssl.layouts import get_layout
from mmskelssl.models import backbones
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from tests.conftest import random_clip, shorten

onnx = pytest.importorskip('onnx', reason='onnx is not installed')
pytest.importorskip('onnxscript', reason='onnxscript is not installed')
pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
pytestmark = pytest.mark.slow

PERSONS = dict(type='SelectPersons', max_persons=2)
PACK = dict(type='PackSkeleton')
RESIZED = [PERSONS, dict(type='AlignSequence'), dict(type='ResizeFrames', frames=12), PACK]
PADDED = [PERSONS, dict(type='AlignSequence'), dict(type='FitRange'), dict(type='PadFrames', frames=30), PACK]
FRAMEWISE = [PERSONS, dict(type='Center'), dict(type='ResizeFrames', frames=12), dict(type='AlignShoulders'), PACK]
# Small versions of the encoders. An encoder that is missing here is tested with its default arguments.
SMALL = {'TemporalConvNet': dict(channels=(8, 16), num_persons=2), 'BiGRU': dict(hidden_channels=4, num_persons=2),
         'STGCN': dict(hidden_channels=4, out_channels=16, absent='skip'),
         'SkeletonViT': dict(channels=16, depth=1, heads=2)}
# What else is part of the graph, apart from the encoder itself.
AROUND = {'TemporalConvNet': (RESIZED, dict(velocity=True)), 'BiGRU': (PADDED, dict(stream='motion')),
          'STGCN': (FRAMEWISE, dict(stream='bone'))}
ENCODERS = sorted(set(backbones.__all__) - {'SkeletonBackbone'})


def network(name: str, kind: str = 'FrozenEncoder', pipeline=None, preprocessor=None, seed=0, backbone=None,
            **options) -> Member:
    """A network with random weights, and statistics of its normalisation from random clips."""
    steps, around = AROUND.get(name, (RESIZED, {}))
    around = around if preprocessor is None else preprocessor
    channels = SkeletonPreprocessor.channels(3, **{k: v for k, v in around.items() if k in ('velocity', 'stream')})
    config = dict(type=kind, backbone=dict(type=name, layout='ntu25', in_channels=channels,
                                         **{**SMALL.get(name, {}), **(backbone or {})}),
                  data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', **around), **options)
    model = shorten(build_model(config, 'here', seed))
    info = dict(model=config, method=kind, dataset=describe_data(dict(pipeline=pipeline or steps), layout='ntu25'))
    extractor = FeatureExtractor._of('here', model, info, 'cpu')
    model.train()
    inputs = inputs_of(extractor, 16)
    with torch.no_grad():
        for _ in range(40):
            model.extract_feat(*inputs)
    return Member(model.eval(), info)


def encoder(name: str, **options) -> FeatureExtractor:
    member = network(name, **options)
    return FeatureExtractor._of('here', member.model, member.info, 'cpu')


def classifier(*names: str, **options) -> SkeletonClassifier:
    members = [network(name, 'SkeletonClassifier', seed=i, num_classes=4, **options) for i, name in enumerate(names)]
    config = dict(classes=[f'class {i}' for i in range(4)], weights=[1., .5][:len(names)], temperature=.1,
                  threshold=.3, fps=30.)
    return SkeletonClassifier('here', config, members, 'cpu')


def raw_clips(count: int, seed: int = 1) -> list[np.ndarray]:
    """One to three persons, 1 to 49 frames, with gaps."""
    rng, clips = np.random.default_rng(seed), []
    for i in range(count):
        clip = random_clip(rng, get_layout('ntu25'), int(rng.integers(1, 4)), int(rng.integers(1, 50)), i % 4)
        clip[:, 1:][rng.random((len(clip), clip.shape[1] - 1)) < .1] = 0
        clips.append(clip)
    return clips


def inputs_of(extractor: FeatureExtractor, count: int, frames: int | None = None, seed: int = 1):
    """Prepared clips after the stream, with their lengths, as the encoder takes them."""
    clips, lengths = prepared(extractor, count, frames, seed)
    return extractor.model.data_preprocessor.represent(clips, lengths), lengths


def prepared(extractor: FeatureExtractor, count: int, frames: int | None = None, seed: int = 1, persons: int = 2):
    """Prepared clips (N, C, T, V, M), cut or padded to a number of frames, and their numbers of real frames."""
    made = extractor.prepared(clips_in_memory(raw_clips(count, seed), extractor.layout, 3))
    batch = made.__getitems__(list(range(count)))
    clips, lengths = batch['inputs'], batch['data_samples']['num_frames']
    if frames is not None:
        clips = torch.nn.functional.pad(clips, (0, 0, 0, 0, 0, max(0, frames - clips.shape[2])))[:, :, :frames]
        lengths = lengths.clamp(max=frames)
    return clips[..., :persons], lengths


@pytest.mark.slow
@pytest.mark.parametrize('name, backbone', [
    *((name, {}) for name in ENCODERS), ('TemporalConvNet', dict(num_persons='each')),
    ('TemporalConvNet', dict(separate_joints=True))])
def test_every_encoder(name, backbone):
    """Each encoder of the package, and so each new one, on prepared clips and from raw clips."""
    extractor = encoder(name, backbone=backbone)
    graph = PreparedGraph(extractor, 'here')
    session = open_session(onnx_bytes(graph, describe(extractor, graph)))
    persons = [2] if getattr(extractor.model.backbone, 'num_persons', None) else [2, 1, 2]
    for count, frames, most in ((1, 9, persons[0]), (5, 12, persons[-2:][0]), (4, 31, persons[-1])):
        clips, lengths = prepared(extractor, count, frames, count, most)
        rest = [lengths] if 'num_frames' in graph.inputs else []  # otherwise all frames are real
        with torch.no_grad():
            expected = extractor.model.extract_feat(
                extractor.model.data_preprocessor.represent(clips, *rest), *rest).numpy()
        assert np.abs(expected).max() > .05 and len(np.unique(expected, axis=0)) == count
        made = session(clips.numpy(), *(part.numpy() for part in rest))
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)
    whole = WholeGraph(extractor, 'here')
    program = trace(whole)
    session, clips = open_session(onnx_bytes(whole, describe(extractor, whole), program)), raw_clips(12)
    expected = extractor(clips)
    np.testing.assert_allclose(np.stack([session(clip) for clip in clips]), expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(session(np.zeros((1, 5, 25, 3), np.float32))).all()
    data = io.BytesIO()  # and as a program of torch.export
    torch.export.save(program, data)
    loaded = torch.export.load(io.BytesIO(data.getvalue())).module()
    with torch.no_grad():
        made = np.stack([loaded(torch.from_numpy(clip)).numpy() for clip in clips])
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope='module')
def two_streams() -> SkeletonClassifier:
    joint, bone = (network('TemporalConvNet', 'SkeletonClassifier', seed=i, num_classes=4, preprocessor=dict(stream=s))
                   for i, s in enumerate(('joint', 'invariant')))
    config = dict(classes=[f'class {i}' for i in range(4)], weights=[1., .5], temperature=.1, threshold=.3, fps=30.)
    made = SkeletonClassifier('here', config, [joint, bone], 'cpu')
    clips = clips_in_memory(raw_clips(20), made.layout, made.channels)
    with torch.no_grad():  # so that each class is predicted for some clip
        made.networks[0].model.head.bias -= torch.from_numpy(made.scores(clips).mean(0)).float()
    return made


@pytest.fixture(scope='module')
def whole_file(two_streams, tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'whole.onnx'
    return path, export_onnx(two_streams, str(path), whole=True)


@pytest.mark.slow
def test_probabilities_of_an_ensemble(two_streams, whole_file):
    session, clips = open_session(str(whole_file[0])), raw_clips(20)
    made, expected = np.stack([session(clip) for clip in clips]), two_streams(clips).probabilities
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert made.max() > .5 and len(np.unique(made.argmax(1))) > 1  # not all alike


def test_a_program(two_streams, tmp_path):
    """Written by the command and loaded without this package's classes."""
    export_program(two_streams, str(tmp_path / 'a.pt2'), whole=True)
    files = {'mmskelssl.json': ''}
    program, clip = torch.export.load(tmp_path / 'a.pt2', extra_files=files).module(), raw_clips(1)[0]
    np.testing.assert_allclose(program(torch.from_numpy(clip)).detach().numpy(), two_streams([clip]).probabilities[0],
                               atol=1e-5)
    assert json.loads(files['mmskelssl.json'])['classes'] == two_streams.classes


def test_what_the_file_says(two_streams, whole_file):
    model = onnx.load_from_string(whole_file[1])
    onnx.checker.check_model(model)
    clip, = model.graph.input
    axes = [dim.dim_param or dim.dim_value for dim in clip.type.tensor_type.shape.dim]
    assert axes == ['persons', 'frames', 25, 3] and [value.name for value in model.graph.output] == ['probabilities']
    about = json.loads({entry.key: entry.value for entry in model.metadata_props}['mmskelssl'])
    assert about['classes'] == two_streams.classes and about['threshold'] == .3 and about['fps'] == 30
    assert about['layout'] == 'ntu25' and about['pipeline'] == RESIZED
    for text in (b'site-packages', b'.py', b'/tmp'):
        assert text not in whole_file[1]


def test_quantisation_and_its_cost(two_streams, whole_file, tiny_store):
    small = quantise(whole_file[1], 'a.onnx')
    assert len(small) < .75 * len(whole_file[1])
    cost = measure_cost(two_streams, whole_file[1], small, True, tiny_store)
    labels = SkeletonStore(tiny_store).labels[SkeletonStore(tiny_store).split('test')]
    clips = [SkeletonStore(tiny_store).keypoints(i) for i in SkeletonStore(tiny_store).split('test')]
    guesses = two_streams(clips).probabilities.argmax(1)
    assert cost.before == 100 * np.mean(guesses == labels) and cost.same >= 80
    session = open_session(small)
    own = np.stack([session(np.asarray(clip)) for clip in clips]).argmax(1)
    assert cost.after == 100 * np.mean(own == labels) and cost.same == 100 * np.mean(own == guesses)
    assert str(cost).startswith("top-1 on 16 clips of 'test': ")
    with pytest.raises(UserError, match='name a store to measure the loss of accuracy on'):
        measure_cost(two_streams, whole_file[1], small, True)


def test_clips_of_another_frame_rate_are_resampled_before_they_are_measured(two_streams, whole_file, tiny_store,
                                                                            monkeypatch):
    at = {}
    monkeypatch.setattr(quantised, 'clips_of_store',
                        lambda source, split: at.setdefault('clips', replace(clips_of_store(source, split), fps=75.)))
    network = networks_of(two_streams)[0]
    monkeypatch.setattr(network, 'fps', 30.)
    made = quantised.answers(open_session(whole_file[1]), network, tiny_store, 'test', True)
    np.testing.assert_allclose(made, two_streams(at['clips']).probabilities, atol=1e-5)
    monkeypatch.setattr(network, 'fps', 75.)
    other = quantised.answers(open_session(whole_file[1]), network, tiny_store, 'test', True)
    assert np.abs(made - other).max() > 1e-3


def test_a_file_that_differs_is_not_written(two_streams, whole_file):
    graph = make_graph(two_streams, 'a.onnx', True)
    assert compare(graph, whole_file[1], 'a.onnx') < 1e-5
    with torch.no_grad():
        graph.networks[0].head.bias[0] += .1
    try:
        with pytest.raises(UserError, match='a.onnx is not written: its outputs differ from those of the model by'):
            compare(graph, whole_file[1], 'a.onnx')
    finally:
        with torch.no_grad():
            graph.networks[0].head.bias[0] -= .1


@pytest.mark.slow
def test_the_command(tiny_store, tmp_path, capsys, monkeypatch):
    """From a saved model to a quantised file; the options that do not fit the format are refused."""
    encoder('TemporalConvNet').save_pretrained(tmp_path / 'model')
    cli.main(['export', str(tmp_path / 'model'), str(tmp_path / 'a.onnx'), '--int8', '--data', tiny_store])
    out = capsys.readouterr().out
    assert "MB in int8; nearest neighbour on 16 clips of 'test'" in out and (tmp_path / 'a.onnx').stat().st_size > 1000
    for options, message in ((['a.pt2', '--int8'], '--int8 is for .onnx'), (['a.safetensors', '--whole'], '--whole is'),
                             (['a.onnx', '--prefix', 'x'], '--prefix is for .safetensors'),
                             (['a.onnx', '--data', 'x'], '--data is for --int8'),
                             (['a.safetensors'], 'is a saved model: its weights are already in'),
                             (['a.onnx', '--like', 'simclr_toy'], 'describes its own preprocessing')):
        with pytest.raises(SystemExit):
            cli.main(['export', str(tmp_path / 'model'), *options])
        assert message in capsys.readouterr().err


def test_what_cannot_be_exported(capsys):
    with pytest.raises(UserError, match='has the step FillUnseen, which cannot be exported'):
        make_graph(encoder('TemporalConvNet', pipeline=[dict(type='FillUnseen'), *RESIZED]), 'a.onnx', whole=True)
    mixed = classifier('TemporalConvNet', 'BiGRU')
    with pytest.raises(UserError, match='prepare clips in different ways: add --whole'):
        make_graph(mixed, 'a.onnx')
    assert make_graph(mixed, 'a.onnx', whole=True).which == [0, 1]
    extractor = encoder('TemporalConvNet')
    extractor.model.backbone.forward = lambda x, num_frames=None: x if x.sum() > 0 else -x
    with pytest.raises(UserError, match='torch.export cannot trace the encoder'):
        trace(make_graph(extractor, 'a.onnx'))

    def as_map(x):
        return x.permute(0, 4, 1, 2, 3).repeat(1, 1, 3, 1, 1)[:, :, :16]
    extractor.model.backbone.forward = lambda x, num_frames=None: as_map(x) * len(x)
    with pytest.raises(UserError, match='torch.export cannot trace the encoder .*code specialized'):
        trace(make_graph(extractor, 'a.onnx'))
    extractor.model.backbone.forward = lambda x, num_frames=None: as_map(x) * len(x[0, 0])
    trace(make_graph(extractor, 'a.onnx'))
    assert capsys.readouterr().out == 'note: the encoder fixes the number of frames at 13\n'
    with pytest.raises(UserError, match='no convolution or linear layer'):
        graph = onnx.helper.make_graph([], 'empty', [], [])
        data = io.BytesIO(onnx.helper.make_model(graph).SerializeToString()).getvalue()
        quantise(data, 'a.onnx')


def test_missing_packages_are_named_at_once(monkeypatch):
    for name in ('onnx', 'onnxscript'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match='^onnx, onnxscript are needed to write ONNX: pip install onnx onnxscript$'):
        onnx_bytes(None, {})
