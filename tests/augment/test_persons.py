"""PickPerson keeps one of the persons who are present."""
import pytest
import torch

from mmskelssl.augment import PickPerson
from mmskelssl.layouts import get_layout


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(n, m=3):
    return torch.randn(n, 3, 6, 15, m, generator=generator(9), dtype=torch.float64)


def test_each_person_who_is_present_is_drawn_equally_often():
    x = clips(3000)
    x[:1000, ..., 1] = 0  # one of three is absent
    x[1000:2000, ..., :2] = 0  # only the last one is there
    x[2999] = 0  # nobody
    augment, before = PickPerson(), x.clone()
    person = augment.draw(x, generator())['person']
    made = augment(x, generator())
    assert made.shape == (3000, 3, 6, 15, 1) and torch.equal(x, before)
    assert all(torch.equal(made[i, ..., 0], x[i, ..., person[i]]) for i in range(0, 3000, 50))
    counts = [person[i:i + 1000].bincount(minlength=3) / 1000 for i in (0, 1000, 2000)]
    for count, expected in zip(counts, ([.5, 0, .5], [0, 0, 1], [1 / 3] * 3), strict=True):
        assert count.tolist() == pytest.approx(expected, abs=.05)


def test_the_origin_is_a_joint_in_the_persons_first_frame():
    x, joint = clips(4), get_layout('sbu15').named['spine']
    x[0, :, :2] = 0  # everybody comes later
    x[1, :, 3:] = 0  # and leaves early
    augment = PickPerson('spine', layout='sbu15')
    person = augment.draw(x, generator())['person']
    made = augment(x, generator())[..., 0]
    for i in range(4):
        clip = x[i, ..., person[i]]
        first = 2 if i == 0 else 0
        expected = torch.zeros_like(clip)
        for t in range(6):
            if clip[:, t].any():
                expected[:, t] = clip[:, t] - clip[:, first, joint, None]
        assert torch.equal(made[i], expected)


def test_scores_stay_with_their_person():
    x = clips(5)
    scores = torch.rand(5, 1, 6, 15, 3, generator=generator(1), dtype=torch.float64)
    augment = PickPerson('spine', layout='sbu15')
    made = augment(torch.cat([x, scores], 1), generator(), 1)
    person = augment.draw(x, generator())['person']
    assert torch.equal(made[:, :3], augment(x, generator()))
    assert all(torch.equal(made[i, 3:, ..., 0], scores[i, ..., person[i]]) for i in range(5))
