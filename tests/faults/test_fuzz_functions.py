"""Public functions with inputs from Hypothesis give the result of a plain oracle or raise a UserError."""
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmskelssl.augment import STREAMS, build_augments
from mmskelssl.errors import UserError
from mmskelssl.evaluation.knn import knn_classify
from mmskelssl.evaluation.linear import linear_probe
from mmskelssl.models import losses
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.ops.queue_kl import select_teacher, similarity_kl
from mmskelssl.registry import BATCH_AUGMENTS

few = settings(max_examples=20, deadline=None, derandomize=True)
LAYOUTS = dict(ntu25=25, kinect20=20, sbu15=15)
sizes = st.integers(1, 6)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16])


def tensor(seed, *shape, dtype=torch.float32, strided=False):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return x.transpose(0, -1).contiguous().transpose(0, -1) if strided else x


def unit(seed, *shape, **kwargs):
    return F.normalize(tensor(seed, *shape, **kwargs).double(), dim=1).to(kwargs.get('dtype', torch.float32))


@few
@given(st.integers(1, 9), st.lists(st.integers(0, 12), max_size=8))
def test_queue(size, batches):
    """The queue is a ring of the last keys, regardless of how many are added at once."""
    queue = FeatureQueue(3, size)
    ring, place = list(queue.keys.clone()), 0
    for i, n in enumerate(batches):
        keys = unit(i, n, 3) if n else torch.zeros(0, 3)
        queue.enqueue(keys)
        for key in keys[-size:]:
            ring[place], place = key, (place + 1) % size
    assert torch.equal(queue.keys, torch.stack(ring)) and int(queue.pointer) == place
    assert queue.negatives().shape == (3, size)


@few
@given(sizes, sizes, st.integers(1, 9), dtypes, st.booleans(), st.booleans(), st.sampled_from([.04, .07, 1.]))
def test_info_nce(n, d, k, dtype, strided, in_batch, temperature):
    query, key, negatives = unit(0, n, d, dtype=dtype), unit(1, n, d, dtype=dtype), unit(2, k, d, dtype=dtype).t()
    if strided:
        query, key = (x.t().contiguous().t() for x in (query, key))
    made = losses.info_nce(losses.contrast_logits(query, key, negatives, temperature, in_batch))
    expected = []
    for i in range(n):
        others = [key[j] for j in range(n) if in_batch and j != i]
        columns = [key[i], *negatives.t(), *others]
        logits = torch.stack([(query[i].double() * column.double()).sum() / temperature for column in columns])
        expected.append(torch.logsumexp(logits, 0) - logits[0])
    assert made.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(made.double(), torch.stack(expected).mean(), rtol=1e-4, atol=1e-4)


@few
@given(sizes, st.integers(1, 8), sizes, dtypes)
def test_masked_reconstruction(n, t, d, dtype):
    """Values beyond the end of a clip do not matter, even NaN."""
    prediction, target = tensor(0, n, t, d, dtype=dtype), tensor(1, n, t, d, dtype=dtype)
    frames = torch.arange(n) % t + 1
    expected = sum((prediction[i, :m].double() - target[i, :m].double()).square().sum() / m
                   for i, m in enumerate(frames.tolist())) / n
    for i, m in enumerate(frames.tolist()):
        prediction[i, m:] = torch.nan
    made = losses.masked_reconstruction(prediction, target, frames)
    torch.testing.assert_close(made.double(), expected, rtol=1e-4, atol=1e-4)


@few
@given(sizes, sizes, st.integers(1, 9), st.integers(1, 20), dtypes)
def test_similarity_kl(n, d, k, topk, dtype):
    """A top-k beyond the queue uses the whole queue, and a distribution has distance 0 from itself."""
    key, negatives = unit(0, n, d, dtype=dtype), unit(1, k, d, dtype=dtype).t()
    teacher, index = select_teacher(key, negatives, topk)
    assert teacher.shape == index.shape == (n, min(topk, k)) and (teacher <= .95 + 1e-2).all()
    same = similarity_kl(teacher, teacher, .1, .1, squared=False)
    torch.testing.assert_close(same.double(), torch.zeros((), dtype=torch.float64), rtol=0, atol=1e-5)
    assert similarity_kl(unit(2, n, max(2, min(topk, k)))[:, :min(topk, k)], teacher) >= -1e-5


@pytest.mark.parametrize('name', sorted(
    name for name, kind in BATCH_AUGMENTS.module_dict.items() if kind.__module__.startswith('mmskelssl.')))
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 4), st.sampled_from([1, 2, 3, 6]), st.integers(1, 9), st.sampled_from([*LAYOUTS]),
       st.integers(1, 3), st.sampled_from([torch.float32, torch.float64]), st.booleans())
def test_augmentations(name, n, c, t, layout, m, dtype, strided):
    x = tensor(3, n, c, t, LAYOUTS[layout], m, dtype=dtype, strided=strided)
    before = x.clone()
    try:
        operator = build_augments([dict(type=name)], layout)[0]
        y = operator(x, torch.Generator().manual_seed(0))
    except UserError:
        assert c not in (3, 6) or n == 0
        return
    people = 1 if name == 'PickPerson' and n else m
    assert y.shape == (*x.shape[:4], people) and y.dtype == dtype and y.isfinite().all() and torch.equal(x, before)


@few
@given(st.integers(1, 4), st.integers(1, 9), st.sampled_from([*LAYOUTS]), st.integers(1, 3),
       st.sampled_from(STREAMS), st.sampled_from(['none', 'frame', 'both']), st.booleans(),
       st.integers(14, 26))
def test_preprocessor(n, t, layout, m, stream, alignment, velocity, joints):
    x = tensor(4, n, 3, t, joints, m)
    model = SkeletonPreprocessor(layout, stream, alignment, velocity, views=dict(a=[dict(type='Shear')], b=['a']))
    if joints != LAYOUTS[layout]:
        with pytest.raises(UserError, match='joints of layout'):
            model(dict(inputs=x), True)
        return
    for training in (True, False):
        made = model(dict(inputs=x.clone()), training)['inputs']
        for view in made.values() if training else [made]:
            channels = SkeletonPreprocessor.channels(3, alignment, velocity, stream=stream)
            assert view.shape == (n, channels, t, joints, m) and view.isfinite().all()


@few
@given(st.integers(0, 8), st.integers(0, 5), st.integers(1, 4), st.integers(0, 12), st.booleans())
def test_nearest_neighbours(bank_size, queries, d, k, spoilt):
    rng = np.random.default_rng(bank_size)
    bank, asked = rng.normal(size=(bank_size, d)), rng.normal(size=(queries, d))
    labels = rng.integers(0, 3, bank_size)
    if spoilt and bank_size:
        bank[-1, 0] = np.nan
    if not bank_size or not queries or k < 1 or spoilt:
        assume(bank_size or not spoilt)
        with pytest.raises(UserError, match='KNN'):
            knn_classify(bank, labels, asked, [k])
        return
    near = np.argsort(-(asked / np.linalg.norm(asked, axis=1, keepdims=True))
                      @ (bank / np.linalg.norm(bank, axis=1, keepdims=True)).T, 1)[:, :k]
    votes = np.stack([np.bincount(labels[row], minlength=3) for row in near])
    assert (knn_classify(bank, labels, asked, [k])[k] == votes.argmax(1)).all()


@few
@given(st.integers(0, 9), st.integers(1, 4), st.integers(1, 5), st.integers(-1, 4))
def test_linear_probe(n, d, test, highest):
    rng = np.random.default_rng(n)
    train, labels = rng.normal(size=(n, d)), np.arange(n) % (highest + 1) if highest >= 0 else np.full(n, -1)
    if len(set(labels.tolist())) < 2 or highest < 0:
        with pytest.raises(UserError, match='linear probe'):
            linear_probe(train, labels, rng.normal(size=(test, d)), 'logreg')
        return
    scores = linear_probe(train, labels, rng.normal(size=(test, d)), 'logreg')
    assert scores.shape == (test, labels.max() + 1) and np.isfinite(scores).all()
