"""Encoders, transforms, metrics and configs with inputs from Hypothesis match an oracle or raise a UserError."""
import copy
import tempfile

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mmengine.runner import Runner

from mmskelssl import alignment
from mmskelssl.datasets import transforms
from mmskelssl.engine.config import load_config
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import fuse
from mmskelssl.evaluation.metrics import accuracies, match_clusters
from mmskelssl.evaluation.retrieval import retrieve
from mmskelssl.evaluation.scores import Scores
from mmskelssl.layouts import get_layout
from mmskelssl.registry import MODELS, TRANSFORMS

few = settings(max_examples=20, deadline=None, derandomize=True)
JOINTS = dict(ntu25=25, kinect20=20, sbu15=15)
BACKBONES = dict(STGCN=dict(hidden_channels=4, out_channels=8), BiGRU=dict(hidden_channels=5),
                 TemporalConvNet=dict(channels=(4, 6)))
layouts = st.sampled_from([*JOINTS])


def clips(seed, n, c, t, v, m, dtype=torch.float64, strided=False):
    x = torch.randn(n, c, t, v, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return x.transpose(0, -1).contiguous().transpose(0, -1) if strided else x


@pytest.mark.parametrize('name', BACKBONES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(n=st.integers(0, 4), c=st.sampled_from([2, 3, 6]), t=st.integers(1, 20), m=st.integers(1, 3), layout=layouts,
       wrong=st.sampled_from([(0, 0)] * 6 + [(1, 0), (0, 1)]), training=st.booleans(),
       dtype=st.sampled_from([torch.float32, torch.float64]), strided=st.booleans())
def test_encoders(name, n, c, t, m, layout, wrong, training, dtype, strided):
    """Features equal those of single clips in double precision, regardless of the memory layout."""
    torch.manual_seed(0)
    more = {} if name == 'STGCN' else dict(num_persons=m)
    model = MODELS.build(dict(type=name, layout=layout, in_channels=c + wrong[0], **BACKBONES[name], **more)).to(dtype)
    model.train(training)
    x = clips(5, n, c, t, JOINTS[layout] + wrong[1], m, dtype, strided)
    if any(wrong):
        with pytest.raises(UserError, match='the clips have .* but the backbone is built for'):
            model(x)
        return
    if not n:
        with pytest.raises(UserError, match='the batch contains no clips'):
            model(x)
        return
    made = model(x)
    assert made.shape[0] == n and made.shape[2] == model.out_channels and made.dtype == dtype and made.isfinite().all()
    if not training:
        double = copy.deepcopy(model).double()
        single = torch.cat([double(x[i:i + 1].double().contiguous()) for i in range(n)])
        torch.testing.assert_close(made.double(), single, rtol=1e-4, atol=1e-5)


@few
@given(st.integers(0, 4), st.sampled_from([2, 3]), st.integers(1, 9), layouts, st.integers(1, 3), st.booleans(),
       st.booleans(), st.sampled_from([torch.float32, torch.float64]), st.booleans())
def test_alignment(n, c, t, layout, m, turn, middle, dtype, strided):
    """A batch is aligned like its clips one by one, and absent persons remain zero."""
    layout = get_layout(layout)
    x = clips(6, n, c, t, layout.num_joints, m, dtype, strided)
    if m > 1:
        x[::2, ..., 1] = 0
    for align in (lambda x: alignment.align_sequence(x, layout, turn, middle),
                  lambda x: alignment.align_shoulders(x, layout), lambda x: alignment.centre_frames(x, layout)):
        try:
            made = align(x)
        except UserError:
            assert c == 2
            continue
        assert made.shape == x.shape and made.dtype == dtype and made.isfinite().all()
        single = torch.cat([align(x[i:i + 1].contiguous()) for i in range(n)]) if n else made
        torch.testing.assert_close(made, single, rtol=1e-5, atol=1e-6)
        assert not made[::2, ..., 1:2].any() or m == 1


@pytest.mark.parametrize('name', sorted(name for name, kind in TRANSFORMS.module_dict.items()
                                        if kind.__module__ in (transforms.frames.__name__, transforms.skeleton.__name__)
                                        or kind is transforms.PreNormalize3D))
@settings(max_examples=15, deadline=None, derandomize=True)
@given(m=st.integers(0, 3), t=st.integers(0, 12), c=st.sampled_from([2, 3]), layout=layouts,
       dtype=st.sampled_from([np.float16, np.float32, np.float64]), strided=st.booleans(), zeros=st.booleans())
def test_transforms(name, m, t, c, layout, dtype, strided, zeros):
    """Finite input gives finite output and is not modified, or the error names the sample."""
    keypoint = np.random.default_rng(7).normal(0, .5, (m, t, JOINTS[layout], c)).astype(dtype)
    if zeros:
        keypoint[:, ::2] = 0
    keypoint = np.asfortranarray(keypoint) if strided else keypoint
    before, sample = keypoint.copy(), dict(keypoint=keypoint, layout=get_layout(layout), frame_dir='clip7',
                                           total_frames=t)
    try:
        made = TRANSFORMS.build(dict(type=name))(sample)
    except UserError as error:
        assert 'clip7' in str(error) or c == 2
        assert m == 0 or t == 0 or c == 2 or m > 2 or (zeros and t == 1), (str(error), m, t, c)
        return
    assert np.isfinite(made.get('keypoint', made.get('inputs'))).all()
    np.testing.assert_array_equal(keypoint, before)


@few
@given(st.integers(0, 9), st.integers(1, 7), st.booleans())
def test_measures(n, classes, scored):
    rng = np.random.default_rng(n)
    labels, predictions = rng.integers(0, classes, n), rng.integers(0, classes, n)
    scores = np.eye(classes)[predictions] if scored else None
    if not n:
        with pytest.raises(UserError, match='no test samples'):
            accuracies(labels, predictions, scores)
        return
    made = accuracies(labels, predictions, scores)
    assert made['top1'] == pytest.approx(100 * sum(map(int, labels == predictions)) / n)
    assert made['ci95'][0] <= made['top1'] + 1e-9 and made['top1'] <= made['ci95'][1] + 1e-9
    matched = match_clusters(labels, predictions)
    assert set(matched) <= {-1, *labels} and (matched == labels).sum() >= (labels == predictions).sum()


@few
@given(st.integers(0, 6), st.integers(0, 4), st.integers(1, 4), st.booleans())
def test_retrieval(bank_size, queries, d, spoilt):
    rng = np.random.default_rng(bank_size)
    bank, asked = rng.normal(size=(bank_size, d)), rng.normal(size=(queries, d))
    labels, wanted = rng.integers(0, 3, bank_size), rng.integers(0, 3, queries)
    if spoilt and bank_size:
        bank[0] = np.nan
    if not bank_size or not queries or spoilt:
        with pytest.raises(UserError, match='retrieval'):
            retrieve(bank, labels, asked, wanted, (1, 2))
        return
    nearest, precision, recall = retrieve(bank, labels, asked, wanted, (1, 2))
    similarity = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ (
        bank / np.linalg.norm(bank, axis=1, keepdims=True)).T
    for i, order in enumerate(np.argsort(-similarity, 1)):
        hits = labels[order] == wanted[i]
        expected = np.mean(np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)) if hits.any() else 0.
        assert nearest[i] == order[0] and precision[i] == pytest.approx(expected)
        assert recall[2][i] == hits[:2].any()


@few
@given(st.permutations(range(5)), st.floats(.1, .9), st.integers(2, 4))
def test_ensembles(order, weight, classes):
    """Scores are fused by sample id, regardless of the order of the files."""
    rng, ids = np.random.default_rng(1), [f'clip{i}' for i in range(5)]
    a, b = rng.normal(size=(2, 5, classes))
    labels = np.arange(5) % classes
    row = dict(encoder='A', method='A', stream='joint', data='toy', split='test', protocol='linear', recipe='logreg',
               label_fraction=1., seed=0, epoch=1, checkpoint='a.pth')
    members = [Scores(ids, a, labels, row), Scores([ids[i] for i in order], b[order], labels[order], row)]
    made = fuse(members, [weight, 1 - weight], 'equal')
    expected = weight * a + (1 - weight) * b
    np.testing.assert_allclose(made.scores, expected)
    assert made.row['top1'] == pytest.approx(100 * (expected.argmax(1) == labels).mean())


def settable(node, path=()):
    """Return the dotted keys of a config's values."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        if path and isinstance(node, dict):
            yield '.'.join(map(str, (*path, key)))
        yield from settable(value, (*path, key))


CONFIGS = ('configs/skeletonclr_toy.py', 'configs/actclr_toy.py', 'configs/crrlreconstruct_toy.py')


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate])
@given(data=st.data())
def test_configs(tiny_store, data):
    """If any value of a config is damaged, the run can still be built or the mistake is reported in one line."""
    config = data.draw(st.sampled_from(CONFIGS))
    keys = dict.fromkeys(settable(load_config(config)[-1][1]._cfg_dict.to_dict()))
    key = data.draw(st.sampled_from([key for key in keys if not key.startswith('stages')]))
    value = data.draw(st.sampled_from([None, -1, 0, 'nonsense', [], {}]))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(Runner, 'train', lambda self: None)
        try:
            train(config, folder, cfg_options={'data.store': tiny_store, key: value})
        except UserError as error:
            assert '\n' not in str(error), (key, value)
        except Exception as error:
            pytest.fail(f'{config} with {key}={value!r}: {type(error).__name__}: {error}')
