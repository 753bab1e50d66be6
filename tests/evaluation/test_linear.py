"""Linear probes compared with torch.nn.Linear under torch.optim and with scikit-learn's pipeline."""
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmskelssl.errors import UserError
from mmskelssl.evaluation.linear import linear_probe
from mmskelssl.evaluation.recipes import LINEAR, SGDRecipe


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 3
    feats = rng.normal(size=(3, 5))[labels] + 0.5 * rng.normal(size=(50, 5))
    return feats[:40].astype('f4'), labels[:40], feats[40:].astype('f4'), labels[40:]


def test_recipes_are_frozen():
    paper = LINEAR['paper']
    assert (paper.lr, paper.batch_size, paper.epochs, paper.steps, paper.gamma, paper.momentum) == \
        (3, 128, 100, (80,), 0.1, 0.9)
    assert paper.init_std is None and not paper.drop_last  # the recipe of this project's tables
    assert LINEAR['paper-aimclr'] == SGDRecipe(3, 128, 100, (80,), .1, .9, False, .02, True)
    assert LINEAR['paper-actclr'] == SGDRecipe(24, 1024, 100, (80,), .1, .9, False, .02, True)
    assert LINEAR['paper-actclr-ntu120'] == SGDRecipe(24, 1024, 150, (80, 120), .1, .9, False, .02, True)
    assert LINEAR['logreg'].C == 0.1
    assert LINEAR['paper-skeattnclr'] == SGDRecipe(3, 128, 150, (60, 100), .1, .9, False, .02, True)
    assert LINEAR['paper-crrl'] == SGDRecipe(.1, 16, 85, (15, 35, 50, 66, 75), .5, .9, True, .01)


@pytest.mark.parametrize('name', ['paper-aimclr:batch_size=16', 'paper-actclr:batch_size=7', 'paper-skeattnclr',
                                  'paper-crrl'])
def test_other_papers_equal_torch(data, name):
    """The same layer, initial weights and order under torch.optim.SGD, epoch by epoch."""
    train, labels, test, _ = data
    recipe = LINEAR[name]
    made = linear_probe(train, labels, test, name, seed=3, lr=.05)
    generator = torch.Generator().manual_seed(3)
    layer = torch.nn.Linear(5, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.empty(3, 5).normal_(0, recipe.init_std, generator=generator))
        layer.bias.zero_()
    for epoch in range(recipe.epochs):
        lr = .05 * recipe.gamma ** sum(epoch >= step for step in recipe.steps)
        if not epoch:
            optimizer = torch.optim.SGD(layer.parameters(), lr, momentum=.9, nesterov=recipe.nesterov)
        optimizer.param_groups[0]['lr'] = lr
        size = recipe.batch_size
        whole = 40 // size if recipe.drop_last and size < 40 else -(-40 // size)
        order = torch.randperm(40, generator=generator)
        for rows in (order[i * size:(i + 1) * size] for i in range(whole)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(torch.tensor(train[rows])), torch.tensor(labels[rows])).backward()
            optimizer.step()
    np.testing.assert_allclose(made, layer(torch.tensor(test)).detach(), rtol=1e-3, atol=1e-4)


def test_sgd_equals_written_out_momentum(data):
    """The update rule and the gradient of softmax regression written out in float64."""
    train, labels, test, _ = data
    made = linear_probe(train, labels, test, 'paper', seed=3, batch_size=16, lr=0.1, epochs=5, steps=(3,))
    generator = torch.Generator().manual_seed(3)
    bound = 5 ** -0.5
    weight = torch.empty(3, 5).uniform_(-bound, bound, generator=generator).double().numpy()
    bias = torch.empty(3).uniform_(-bound, bound, generator=generator).double().numpy()
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    for epoch in range(5):
        lr = 0.1 if epoch < 3 else 0.01
        order = torch.randperm(40, generator=generator).numpy()
        for rows in (order[:16], order[16:32], order[32:]):
            logits = train[rows] @ weight.T + bias
            softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            error = (softmax - np.eye(3)[labels[rows]]) / len(rows)
            for parameter, v, gradient in zip((weight, bias), velocity, (error.T @ train[rows], error.sum(0)),
                                              strict=True):
                v[:] = 0.9 * v + gradient
                parameter -= lr * v
    np.testing.assert_allclose(made, test @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_sgd_is_seeded_and_leaves_the_global_generator_alone(data):
    train, labels, test, _ = data
    state = torch.random.get_rng_state()
    first = linear_probe(train, labels, test, 'paper', seed=1)
    assert (first == linear_probe(train, labels, test, 'paper', seed=1)).all()
    assert (first != linear_probe(train, labels, test, 'paper', seed=2)).any()
    assert torch.equal(state, torch.random.get_rng_state())


def test_logreg_equals_pipeline(data):
    train, labels, test, truth = data
    made = linear_probe(train, labels, test, 'logreg')
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(train, labels)
    np.testing.assert_allclose(made, pipeline.decision_function(test), atol=2e-3)
    assert (made.argmax(1) == truth).mean() > 0.8


@pytest.mark.parametrize('recipe', ['logreg', 'paper'])
def test_absent_classes_keep_their_columns(data, recipe):
    train, labels, test, _ = data
    for kept, shifted in ((labels < 2, labels), (labels >= 0, labels + 2)):
        scores = linear_probe(train[kept], shifted[kept], test, recipe, num_classes=6)
        assert scores.shape == (10, 6) and np.isfinite(scores).all()
        if recipe == 'logreg':
            assert set(scores.argmax(1)) <= set(shifted[kept])


def test_constant_features_are_allowed(data):
    train, labels, test, _ = data
    assert np.isfinite(linear_probe(np.ones_like(train), labels, np.ones_like(test), 'logreg')).all()


@pytest.mark.parametrize('labels, recipe, message', [
    ([0, 1, -1, 0], 'logreg', '1 of 4 clips have no label'),
    ([0, 1, -7, 0], 'logreg', 'clip 2 has the label -7'),
    ([0, 1, 1.5, 0], 'logreg', 'labels are whole numbers from 0 on.*got float64'),
    ([0, 1, True, 0], 'logreg', 'booleans among them'),
    (np.array([True, False, True, False]), 'paper', 'got bool'),
    ([1, 1, 1, 1], 'paper', 'all 4 training clips have class 1'),
    ([0, 1], 'paper', 'do not match'),
    ([0, 1, 0, 1], 'best', "unknown linear recipe 'best'")])
def test_bad_input(labels, recipe, message):
    with pytest.raises(UserError, match=message):
        linear_probe(np.eye(4), labels, np.eye(4), recipe)
