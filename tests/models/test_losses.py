"""Each loss compared with a slow oracle that follows its definition, sample by sample, in float64."""
import math

import pytest
import torch
from loss_oracles import dot, softmax, unit

from mmskelssl.models import losses


@pytest.mark.parametrize('with_extra', [False, True])
@pytest.mark.parametrize('in_batch', [False, True])
@pytest.mark.parametrize('n, k', [(1, 7), (4, 11), (5, 0)])
def test_info_nce(n, k, in_batch, with_extra):
    query, key, queue, extra = unit(n, 6), unit(n, 6, seed=1), unit(k, 6, seed=2), unit(n, 6, seed=3)
    logits = losses.contrast_logits(query, key, queue.t(), .2, in_batch, extra if with_extra else None)
    expected = 0.
    for i in range(n):
        row = [dot(query[i], key[i])] + [dot(query[i], entry) for entry in queue]
        row += [dot(query[i], key[j]) for j in range(n) if j != i] if in_batch else []
        row += [dot(query[i], extra[i])] if with_extra else []  # only the query's own
        expected -= math.log(softmax([v / .2 for v in row])[0]) / n
        assert logits[i].tolist() == pytest.approx([v / .2 for v in row], rel=1e-12)
    assert losses.info_nce(logits).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_info_nce_with_several_positives():
    logits = torch.tensor([[1., 2., 0.], [0., -1., 3.]], dtype=torch.float64)
    positives = torch.tensor([[1., 0., 1.], [1., 1., 0.]], dtype=torch.float64)
    expected = 0.
    for row, mask in zip(logits.tolist(), positives.tolist(), strict=True):
        chosen = [math.log(p) for p, m in zip(softmax(row), mask, strict=True) if m]
        expected -= sum(chosen) / len(chosen) / 2
    assert losses.info_nce(logits, positives).item() == pytest.approx(expected, rel=1e-12)


def test_ddm_is_cross_entropy_to_a_detached_target():
    logits, target = unit(3, 5).requires_grad_(), unit(3, 5, seed=1).requires_grad_()
    expected = 0.
    for row, goal in zip(logits.tolist(), target.tolist(), strict=True):
        expected -= sum(g * math.log(p) for g, p in zip(softmax(goal), softmax(row), strict=True)) / 3
    loss = losses.ddm(logits, target)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert target.grad is None and logits.grad.abs().sum() > 0


@pytest.mark.parametrize('n', [1, 2, 5])
def test_nt_xent(n):
    first, second = unit(n, 6), unit(n, 6, seed=1)
    views, expected = [*first, *second], 0.
    for i in range(2 * n):
        others = [j for j in range(2 * n) if j != i]
        shares = softmax([dot(views[i], views[j]) / .3 for j in others])
        expected -= math.log(shares[others.index((i + n) % (2 * n))]) / (2 * n)
    assert losses.nt_xent(first, second, .3).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize('garbage', [7., math.inf, math.nan])
def test_masked_reconstruction(garbage):
    lengths, prediction = torch.tensor([4, 1, 6]), unit(3, 6, 5).requires_grad_()
    target, expected, slope = unit(3, 6, 5, seed=1), 0., torch.zeros(3, 6, 5, dtype=torch.float64)
    for i, length in enumerate(lengths.tolist()):
        target[i, length:] = garbage
        for t in range(length):
            for d in range(5):
                error = float(prediction[i, t, d].detach() - target[i, t, d])
                expected += error ** 2 / length / 3
                slope[i, t, d] = 2 * error / length / 3
    loss = losses.masked_reconstruction(prediction, target, lengths)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(prediction.grad, slope, rtol=1e-12, atol=0)


def test_distillation_moves_the_student_alone():
    student, teacher = unit(3, 5).requires_grad_(), unit(3, 5, seed=1).requires_grad_()
    expected = sum((float(a) - float(b)) ** 2 for s, t in zip(student.detach(), teacher.detach(), strict=True)
                   for a, b in zip(s, t, strict=True)) / 3
    loss = losses.distillation(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert teacher.grad is None
    torch.testing.assert_close(student.grad, 2 * (student - teacher).detach() / 3, rtol=1e-12, atol=0)


@pytest.mark.parametrize('loss', [
    lambda a, b: losses.contrast_logits(a, b, b.t(), .07), lambda a, b: losses.nt_xent(a, b, .07),
    lambda a, b: losses.distillation(a, b),
    lambda a, b: losses.masked_reconstruction(a[None], b[None], torch.tensor([3]))])
def test_losses_leave_autocast(loss):
    query, key = unit(4, 6).float(), unit(4, 6, seed=1).float()
    plain = loss(query, key)
    with torch.autocast('cpu', torch.bfloat16):
        inside = loss(query, key)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, plain, rtol=0, atol=0)
    half = loss(query.bfloat16(), key.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, loss(query.bfloat16().float(), key.bfloat16().float()), rtol=0, atol=0)
