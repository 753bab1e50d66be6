"""Mixing by body parts compared with a slow oracle, and the distribution of the plans."""
from collections import Counter

import augment_oracles as oracle
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmskelssl.augment import MixPlan, SwapParts, draw_mix, draw_shift, mix
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

STICK = dict(name='stick', joints=('a', 'b', 'c'), parents=(0, 0, 1), hip=0, shoulders=(1, 2))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(*shape):
    return torch.randn(*shape, generator=generator(9), dtype=torch.float64)


PLANS = [MixPlan(1, 'cutmix', (0, 3), 2, 4), MixPlan(2, 'cutmix', (1,), 0, 1), MixPlan(1, 'resizemix', (1, 2, 4), 3, 3),
         MixPlan(2, 'resizemix', (0, 4), 0, 5), MixPlan(1, 'mixup', (0, 1), 1, 3, lam=.3),
         MixPlan(0, 'cutmix', (2,), 1, 2), MixPlan(1, 'resizemix', (0,), 1, 2, cell=3)]


@pytest.mark.parametrize('plan', PLANS, ids=str)
@pytest.mark.parametrize(('name', 'frames', 'persons'), [('ntu25', 50, 2), ('kinect20', 27, 1), ('sbu15', 14, 2)])
def test_mix_and_masks(plan, name, frames, persons):
    layout = get_layout(name)
    x = clips(4, 3, frames, layout.num_joints, persons)
    before = x.clone()
    mixed = mix(x, plan, layout)
    for i in range(4):
        wanted = oracle.mix(x[i].numpy(), x[(i + plan.shift) % 4].numpy(), plan, layout)
        np.testing.assert_allclose(mixed[i].numpy(), wanted, rtol=0, atol=1e-10)
    assert torch.equal(x, before)
    masks = plan.masks(frames, layout, dtype=torch.float64)
    for fast, slow in zip(masks, oracle.mix_masks(frames, plan, layout), strict=True):
        np.testing.assert_array_equal(fast.numpy(), slow)


def test_the_replaced_mask_covers_exactly_what_changed():
    layout, plan = get_layout('ntu25'), MixPlan(1, 'cutmix', (0, 2), 3, 4)
    x = clips(3, 3, 50, 25, 2)
    pasted, replaced = plan.masks(50, layout)
    assert replaced.shape == (13, 25) and torch.equal(pasted, replaced)
    frames = replaced.bool().repeat_interleave(4, 0)[:50]
    assert torch.equal((mix(x, plan, layout) != x).any(0).any(0).any(-1), frames)


def test_resizemix_shows_the_partner_at_double_speed():
    layout, plan = get_layout('ntu25'), MixPlan(1, 'resizemix', (1,), 2, 3)
    x = clips(3, 3, 50, 25, 2)
    arm = list(list(layout.parts.values())[1])
    assert torch.equal(mix(x, plan, layout)[0][:, 8:20][:, :, arm], x[1][:, 0:24:2][:, :, arm])


def test_swap_parts_is_cutmix_in_the_published_ranges():
    """docs/methods.md 2.1: 3 or 4 of 5 parts, 4 to 7 cells of 4 frames, the same for the whole batch."""
    layout, x, source = get_layout('ntu25'), clips(5, 3, 64, 25, 2), generator()
    swap = SwapParts(layout='ntu25')
    plans = [swap.draw(x, source)['plan'].numbers() for _ in range(300)]
    assert {plan.kind for plan in plans} == {'cutmix'} and {len(plan.parts) for plan in plans} == {3, 4}
    assert {plan.length for plan in plans} == {4, 5, 6, 7} and {plan.shift for plan in plans} == {1, 2, 3}
    plan, before = plans[0], x.clone()
    swapped = swap.apply(x, plan)
    assert torch.equal(swapped, mix(x, plan, layout)) and torch.equal(x, before)
    time = slice(plan.start * 4, (plan.start + plan.length) * 4)
    joints = plan.joints(layout)
    assert torch.equal(swapped[0, :, time][:, :, joints], x[plan.shift, :, time][:, :, joints])
    assert torch.equal(swapped[..., ~joints, :], x[..., ~joints, :])


def test_published_ranges_and_frequencies():
    source = generator()
    plans = [draw_mix(8, 50, 5, source).numbers() for _ in range(4000)]
    shifts = Counter(plan.shift for plan in plans)
    assert shifts.keys() == set(range(1, 7)) and max(abs(times - 4000 / 6) for times in shifts.values()) < 100
    assert {len(plan.parts) for plan in plans} == {2, 3}
    assert {plan.length for plan in plans} == {3, 4, 5} and {plan.cell for plan in plans} == {4}
    for length in (3, 4, 5):
        assert {plan.start for plan in plans if plan.length == length} == set(range(12 - length + 1))
    for part in range(5):
        assert abs(np.mean([part in plan.parts for plan in plans]) - .5) < .03  # 2.5 of 5 on average
    kinds = Counter(plan.kind for plan in plans)
    assert abs(kinds['cutmix'] - 2000) < 150 and abs(kinds['resizemix'] - 1000) < 130
    lam = np.array([plan.lam for plan in plans if plan.kind == 'mixup'])
    assert lam.min() < .02 and lam.max() > .98 and abs(lam.mean() - .5) < .04
    assert {plan.lam for plan in plans if plan.kind != 'mixup'} == {1.}


def test_skeattn_ranges_and_fixed_kind():
    source = generator()
    plans = [draw_mix(8, 64, 5, source, parts=(3, 4), cells=(4, 7), kind='cutmix').numbers() for _ in range(500)]
    assert {plan.kind for plan in plans} == {'cutmix'} and {len(plan.parts) for plan in plans} == {3, 4}
    assert {plan.length for plan in plans} == {4, 5, 6, 7}
    assert max(plan.start + plan.length for plan in plans) == 16


def test_same_generator_same_plan():
    first, again, other = (draw_mix(8, 50, 5, generator(seed)).numbers() for seed in (4, 4, 5))
    assert first == again != other


@pytest.mark.parametrize(('n', 'shifts'), [(1, {0}), (2, {1}), (3, {1}), (4, {1, 2}), (9, set(range(1, 8)))])
def test_partners_in_small_batches(n, shifts):
    shares = np.linspace(0, 1 - 2 ** -53, 200)
    assert {draw_shift(n, share) for share in shares} == shifts
    assert {draw_shift(n, torch.tensor(share)).item() for share in shares} == shifts


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 5), frames=st.integers(1, 30), name=st.sampled_from(['ntu25', 'kinect20', 'sbu15']),
       seed=st.integers(0, 2 ** 31), kind=st.sampled_from([None, 'cutmix', 'resizemix', 'mixup']))
def test_any_drawn_plan_fits_any_batch(n, frames, name, seed, kind):
    layout = get_layout(name)
    plan = draw_mix(n, frames, len(layout.parts), generator(seed), kind=kind)
    x = clips(n, 3, frames, layout.num_joints, 1)
    mixed, masks = mix(x, plan, layout), plan.masks(frames, layout)
    plan = plan.numbers()  # which give the same
    assert torch.equal(mixed, mix(x, plan, layout))
    assert all(map(torch.equal, masks, plan.masks(frames, layout)))
    for i in range(n):
        wanted = oracle.mix(x[i].numpy(), x[(i + plan.shift) % n].numpy(), plan, layout)
        np.testing.assert_allclose(mixed[i].numpy(), wanted, rtol=0, atol=1e-10)
    pasted, replaced = plan.masks(frames, layout)
    assert pasted.shape == replaced.shape == (-(-frames // 4), layout.num_joints)
    assert replaced.sum() > 0 and (pasted >= replaced).all()


def test_layouts_with_few_or_no_parts():
    two = get_layout({**STICK, 'parts': dict(upper=(0, 1), lower=(2,))})
    plan = draw_mix(4, 50, len(two.parts), generator(), parts=(3, 4), kind='cutmix')
    assert plan.numbers().parts == (0, 1)
    with pytest.raises(UserError, match='layout has none: add `parts`'):
        draw_mix(4, 50, 0, generator())
    for kind in ('cutmix', 'resizemix'):
        with pytest.raises(UserError, match='layout stick has none: add `parts`'):
            mix(clips(4, 3, 50, 3, 1), MixPlan(1, kind, (0,), 0, 3), get_layout(STICK))
    with pytest.raises(UserError, match='part 4, but layout stick has 2'):
        mix(clips(4, 3, 50, 3, 1), MixPlan(1, 'cutmix', (4,), 0, 3), two)


def test_wrong_joints_or_kind():
    with pytest.raises(UserError, match='20 joints, but layout ntu25 has 25'):
        mix(clips(2, 3, 16, 20, 1), PLANS[0], get_layout('ntu25'))
    with pytest.raises(UserError, match="unknown kind of mixing 'cutout'"):
        MixPlan(1, 'cutout', (0,), 0, 1)


@pytest.mark.parametrize('fill', ['partner', 'zeros', 'noise'])
@pytest.mark.parametrize('joints', [None, (10, 15)])
def test_fills_of_the_swap(fill, joints):
    """Inside the region the clip is replaced; outside nothing changes. Counts and positions follow the options."""
    layout, swap = get_layout('ntu25'), SwapParts(fill=fill, joints=joints, cells=(4, 7), layout='ntu25')
    x = torch.rand(5, 3, 64, 25, 2, generator=generator(1)) * 3 + 1
    x[3, ..., 1] = 0  # an absent person
    before, source, counts = x.clone(), generator(2), set()
    for _ in range(40):
        params = swap.draw(x, source)
        made, plan = swap.apply(x, **params), params['plan'].numbers()
        chosen = {j for part in plan.parts for j in list(layout.parts.values())[part]} | set(plan.single_joints)
        counts.add(len(plan.parts) if joints is None else len(chosen))
        region = torch.zeros(64, 25, dtype=torch.bool)
        region[plan.start * 4:(plan.start + plan.length) * 4, list(chosen)] = True
        changed = made[:, :, region]
        assert torch.equal(made[:, :, ~region], x[:, :, ~region])
        if fill == 'partner':
            assert torch.equal(changed, x.roll(-plan.shift, 0)[:, :, region])
        elif fill == 'zeros':
            assert not changed.any()
        else:
            assert not (changed == x[:, :, region]).flatten(0, 1)[:9].any() and not changed[3, ..., 1].any()
            for clip, drawn, other in zip(x[:3], changed[:3], changed[1:4], strict=True):
                for c in range(3):
                    assert abs(drawn[c, :, 0].mean() - clip[c, ..., 0].mean()) < .25
                    assert abs(drawn[c, :, 0].std() - clip[c, ..., 0].std()) < .2
                    assert not torch.equal(drawn[c], other[c])
    assert torch.equal(x, before)
    assert counts == ({3, 4} if joints is None else set(range(10, 16)))


def test_random_joints_are_chosen_equally_often():
    swap, source = SwapParts(joints=(10, 15), layout='ntu25'), generator(3)
    x, count = torch.zeros(3, 3, 64, 25, 1), torch.zeros(25)
    for _ in range(2000):
        count += swap.draw(x, source)['plan'].single_joints
    torch.testing.assert_close(count / 2000, torch.full((25,), .5), atol=.05, rtol=0)


def test_random_joints_need_no_body_parts():
    bare = get_layout(dict(name='bare', joints=['a', 'b', 'c'], parents=[0, 0, 1], hip=0, shoulders=(1, 2)))
    swap = SwapParts(joints=(10, 15), layout=bare)
    assert swap.draw(torch.zeros(3, 3, 8, 3, 1), generator())['plan'].numbers().single_joints == (0, 1, 2)
    with pytest.raises(UserError, match='mixing needs body parts'):
        SwapParts(layout=bare).draw(torch.zeros(3, 3, 8, 3, 1), generator())


@pytest.mark.parametrize('options, message', [
    (dict(fill='ones'), "fill is 'ones': choose one of partner, zeros, noise"),
    (dict(parts=(4, 3)), r'parts is \(4, 3\); it must be a minimum and a maximum'),
    (dict(cells=(0, 3)), r'cells is \(0, 3\)'), (dict(joints=(10,)), r'joints is \(10,\)')])
def test_mistakes_in_the_swap_are_named(options, message):
    with pytest.raises(UserError, match=f'SwapParts: {message}'):
        SwapParts(**options)


@pytest.mark.parametrize('fill', ['partner', 'zeros', 'noise'])
def test_scores_come_with_the_parts_of_a_partner_only(fill):
    x, swap = clips(4, 4, 64, 25, 2), SwapParts(fill=fill, layout='ntu25')
    made, plan = swap(x, generator(5), 1), swap.draw(x[:, :3], generator(5))['plan']
    expected = mix(x[:, 3:], plan, get_layout('ntu25')) if fill == 'partner' else x[:, 3:]
    assert made.shape == x.shape and torch.equal(made[:, 3:], expected) and not torch.equal(made[:, :3], x[:, :3])
