"""ActCLR's similarity loss compared with a slow oracle, and the fast with the plain version: values and gradients."""
import math

import pytest
import torch
from loss_oracles import dot, softmax, unit

from mmskelssl.ops.queue_kl import plain_queue_similarity_kl, queue_similarity_kl, select_teacher, similarity_kl


@pytest.mark.parametrize('topk', [3, 9, 100])
@pytest.mark.parametrize('squared', [True, False])
def test_similarity_kl(topk, squared):
    query, key, queue = unit(4, 6), unit(4, 6, seed=1), unit(9, 6, seed=2)
    queue[2] = key[1]  # a near-duplicate, to be excluded
    expected = 0.
    for i in range(4):
        teacher = [dot(key[i], entry) for entry in queue]
        teacher = [-1. if value > .95 else value for value in teacher]
        order = sorted(range(9), key=lambda j: -teacher[j])[:topk]
        student = [dot(query[i], queue[j]) for j in order]
        p = softmax([teacher[j] / .04 for j in order])
        q = softmax([(s * s if squared else s) / .1 for s in student])
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0) / 4
    teacher, chosen = select_teacher(key, queue.t(), topk)
    loss = similarity_kl((query @ queue.t()).gather(1, chosen), teacher, squared=squared)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize('ties', [False, True])
def test_the_nearest_in_any_order(ties):
    """Includes ties for the last places: a queue full of near-duplicates, which all count as -1."""
    key, queue = unit(3, 4), unit(40, 4, seed=1)
    if ties:
        queue[:30] = key[0]
    values, chosen = select_teacher(key, queue.t(), 17)
    found, columns = select_teacher(key, queue.t(), 17, ordered=False)
    torch.testing.assert_close(found.sort(1, descending=True).values, values, rtol=0, atol=0)
    similarity = key @ queue.t()
    similarity[similarity > .95] = -1
    assert torch.equal(similarity.gather(1, columns), found) and all(len(set(row)) == 17 for row in columns.tolist())
    if not ties:
        assert torch.equal(columns.sort(1).values, chosen.sort(1).values)


def test_queue_similarity_kl_and_its_gradients():
    """The queue changes between the fast path's forward and backward pass."""
    queries = [unit(3, 5, seed=i).requires_grad_() for i in range(3)]
    keys, queue = (unit(3, 5, seed=7),) * 2 + (unit(3, 5, seed=8),), unit(20, 5, seed=9)
    expected = plain_queue_similarity_kl(queries, keys, queue.t(), 11, (.2, .05))
    made = queue_similarity_kl(queries, keys, queue.t(), 11, (.2, .05))
    torch.testing.assert_close(torch.stack(made), torch.stack(expected), rtol=1e-12, atol=1e-13)
    wanted = torch.autograd.grad(expected[0] + 2 * expected[1] - expected[2], queries)
    queue.zero_()
    for a, b in zip(torch.autograd.grad(made[0] + 2 * made[1] - made[2], queries), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


def test_queue_similarity_kl_in_bfloat16_computes_in_float32():
    with torch.autocast('cpu', torch.bfloat16):
        query = unit(2, 4).bfloat16().requires_grad_()
        loss, = queue_similarity_kl([query], [unit(2, 4, seed=1).float()], unit(9, 4, seed=2).float().t(), 5)
    assert loss.dtype == torch.float32
    loss.backward()
    assert query.grad.dtype == torch.bfloat16 and query.grad.abs().sum() > 0
