"""The lineage's monitor against a statement of it with loops: weighted votes of embeddings of augmented clips."""
import math

import numpy as np
import pytest
import torch

from mmskelssl.engine.hooks.knn_hook import KNNHook
from mmskelssl.errors import UserError
from mmskelssl.evaluation.lineage_knn import Embeddings, lineage_knn
from mmskelssl.registry import MODELS


def build(method='SkeletonCLR', backbone=None, **options):
    torch.manual_seed(0)
    views = {name: [] for name in MODELS.get(method).view_names}
    return MODELS.build(dict(
        type=method, backbone=backbone or dict(type='TemporalConvNet', layout='sbu15', channels=(8, 8)),
        data_preprocessor=dict(type='SkeletonPreprocessor', layout='sbu15', stream='motion', views=views), **options))


class Clips:
    """A data set in memory with the interface of SkeletonDataset."""
    num_classes = 3

    def __init__(self, name, count, seed):
        rng = np.random.default_rng(seed)
        self.labels = (np.arange(count) % 3).tolist()
        self.ids = [f'{name}{i}' for i in range(count)]
        self.clips = torch.from_numpy(rng.normal(size=(count, 3, 12, 15, 1))).float()
        self.clips += torch.tensor(self.labels).view(-1, 1, 1, 1, 1) * torch.linspace(0, 2, 12).view(1, 1, -1, 1, 1)

    def __getitems__(self, rows):
        return dict(inputs=self.clips[rows].clone(), data_samples=dict(index=torch.tensor(rows)))


SPLITS = dict(train=Clips('a', 50, 0), test=Clips('b', 21, 1))


@pytest.fixture
def model():
    return build(projector=dict(hidden_channels=8, out_channels=5), queue_size=8)


def measure(model, step=0, **options):
    return lineage_knn(model, SPLITS.__getitem__, 'train', 'test', step, **options)


def test_accuracies_are_those_of_weighted_votes(model):
    model.train()
    found, embeddings = measure(model, 3), []
    assert model.training
    wrapped = Embeddings(model, 3).eval()
    with torch.no_grad():
        for name in ('train', 'test'):
            batch = wrapped.data_preprocessor(SPLITS[name].__getitems__(list(range(len(SPLITS[name].ids)))), False)
            features = model.pool(model.backbone(batch['inputs']))
            embeddings.append([[x / math.sqrt(sum(y * y for y in row)) for x in row]
                               for row in model.projector(features).tolist()])
    bank, queries = embeddings
    for k in (10, 20, 40):
        correct = 0
        for query, label in zip(queries, SPLITS['test'].labels, strict=True):
            cosines = [(sum(a * b for a, b in zip(query, row, strict=True)), i) for i, row in enumerate(bank)]
            votes = [0., 0., 0.]
            for cosine, i in sorted(cosines, reverse=True)[:k]:
                votes[SPLITS['train'].labels[i]] += math.exp(cosine / .1)
            correct += votes.index(max(votes)) == label
        assert found[k] == pytest.approx(100 * correct / 21)
    assert sorted(found) == [10, 20, 40]


def test_clips_are_cropped_and_sheared_and_in_the_stream_of_the_model(model):
    """Not the model's own views: these are empty here."""
    batch = SPLITS['train'].__getitems__([0, 1, 2])
    made = Embeddings(model, 0).data_preprocessor(batch, False)['inputs']
    assert made.shape == (3, 3, 12, 15, 1) and not made[:, :, -1].any()  # the stream is motion
    plain = model.data_preprocessor(batch, False)['inputs']
    assert not torch.allclose(made, plain)
    assert model.data_preprocessor.views == dict(query=[], key=[])


def test_draws_depend_on_the_step_and_disturb_nothing(model):
    batch = SPLITS['train'].__getitems__([0, 1, 2])
    first, again, later = (Embeddings(model, step).data_preprocessor(batch, False)['inputs'] for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later)
    model.data_preprocessor.set_progress(5)
    state, expected = torch.random.get_rng_state(), model.data_preprocessor.generator(torch.device('cpu')).get_state()
    assert measure(model, 2) == measure(model, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(model.data_preprocessor.generator(torch.device('cpu')).get_state(), expected)


def test_a_smaller_bank(model):
    assert measure(model, max_bank=50) == measure(model)
    assert set(measure(model, max_bank=2)) == {10, 20, 40}  # the whole bank votes


@pytest.mark.parametrize('method, backbone, options, reason', [
    ('CRRLReconstruct', dict(type='BiGRU', layout='sbu15', hidden_channels=4), {}, 'CRRLReconstruct has no projector'),
    ('CRRLMotion', dict(type='BiGRU', layout='sbu15', hidden_channels=4), dict(queue_size=4),
     'CRRLMotion takes padded clips')])
def test_methods_that_do_not_fit_are_named(method, backbone, options, reason):
    with pytest.raises(UserError, match=f'lineage compares embeddings of cropped clips, but {reason}: set it to False'):
        Embeddings(build(method, backbone, **options), 0)


def test_the_option_is_a_switch():
    assert not KNNHook().lineage
    with pytest.raises(UserError, match='KNNHook: lineage is 1; it must be True or False'):
        KNNHook(lineage=1)
