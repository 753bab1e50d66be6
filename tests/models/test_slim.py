"""SLiM and its parts against plain statements with loops: tube masks, assignments, losses, views and the whole step."""
import math

import pytest
import torch
from torch.nn import functional as F

from mmskelssl.commands.export import export_weights
from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_backbone
from mmskelssl.engine.run_spec import to_json
from mmskelssl.errors import UserError
from mmskelssl.inference.saved.member import member_of
from mmskelssl.inference.weights import read_weights
from mmskelssl.layouts import get_layout
from mmskelssl.models.base import Progress
from mmskelssl.models.losses import assignment_loss, koleo
from mmskelssl.models.modules import masking
from mmskelssl.models.modules.masking import masked_rows, stratified, tube_groups, tube_masks
from mmskelssl.models.modules.prototypes import PrototypeHead, assignment_entropy, sinkhorn
from mmskelssl.registry import MODELS

CPU = torch.device('cpu')
VIT = dict(type='SkeletonViT', layout='sbu15', channels=16, depth=2, heads=2, cls_blocks=2, mlp='swiglu', registers=1)
HEAD = dict(hidden_channels=8, bottleneck_channels=6, prototypes=5)
VIEWS = ('first', 'second', 'local_1', 'local_2', 'local_3')


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def build(views=VIEWS, backbone=VIT, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='SLiM', backbone=dict(backbone), head=dict(HEAD), **options, data_preprocessor=dict(
        type='SkeletonPreprocessor', layout='sbu15', views={view: [] for view in views}))).double()


def inputs(n=3, m=1):
    return {name: random(n, 3, frames, 15, m, seed=i)
            for i, (name, frames) in enumerate(zip(VIEWS, (16, 16, 8, 8, 4), strict=True))}


def plain_masks(budget, steps, groups, least, most, source):
    """One mask after the other in each round, so that both read the same random numbers."""
    joints = sum(map(len, groups))
    masks = [[[False] * joints for _ in range(steps)] for _ in budget]
    counts, failures, active = [0] * len(budget), [0] * len(budget), [b > 0 for b in budget]
    for draws in torch.rand(48, 5, len(budget), generator=source, dtype=torch.float64).tolist():
        for i in range(len(budget)):
            if not active[i]:
                continue
            group = groups[int(draws[0][i] * len(groups))]
            width = 1 + int(draws[1][i] * len(group))
            start = int(draws[2][i] * (len(group) - width + 1))
            left = min(budget[i] - counts[i], most)
            length = max(1, min(round((least + draws[3][i] * (left - least)) / width), steps))
            begin = int(draws[4][i] * (steps - length + 1))
            cells = [(t, v) for t in range(begin, begin + length) for v in group[start:start + width]]
            new = [(t, v) for t, v in cells if not masks[i][t][v]]
            if 0 < len(new) <= left:
                for t, v in new:
                    masks[i][t][v] = True
                counts[i], failures[i] = counts[i] + len(new), 0
            else:
                failures[i] += 1
            active[i] = counts[i] < budget[i] and failures[i] < 10
    return torch.tensor(masks)


@pytest.mark.parametrize('layout, steps, least, most', [
    ('ntu25', 8, 8, 100), ('ntu25', 1, 1, 100), ('sbu15', 4, 4, 9), ('kinect20', 3, 30, 100)])
def test_tubes(layout, steps, least, most):
    groups = tube_groups(get_layout(layout))
    cells = steps * sum(map(len, groups))
    budget = torch.tensor([0, 1, 2, *(int(cells * share) for share in (.3, .5, .7, .9, .97) for _ in range(6))])
    made = tube_masks(budget, steps, groups, least, most, generator(3))
    assert torch.equal(made, plain_masks(budget.tolist(), steps, groups, least, most, generator(3)))
    sizes = made.flatten(1).sum(1)
    assert (sizes <= budget).all() and not made[0].any()
    assert sizes[3:].sum() > .5 * budget[3:].sum()
    assert not torch.equal(made, tube_masks(budget, steps, groups, least, most, generator(4)))


def test_ten_failures_in_a_row_end_a_mask():
    """A budget of one cell needs a run of one joint of thirty."""
    masks = tube_masks(torch.full((3000,), 1), 1, (tuple(range(30)),), 1, 1, generator())
    assert float((~masks.flatten(1).any(1)).double().mean()) == pytest.approx((29 / 30) ** 10, abs=.03)


def test_groups_of_joints():
    layout = get_layout('ntu25')
    assert tube_groups(layout) == tuple(tuple(joints) for joints in layout.parts.values())
    stick = get_layout(dict(name='stick', joints=('a', 'b', 'c'), parents=(1, 1, 0), hip=0, shoulders=(1, 2)))
    assert tube_groups(stick) == ((1, 0, 2),)  # without parts, parents come before children


def test_ratios_are_stratified():
    for count in (1, 2, 7):
        drawn = stratified(count, .5, .9, CPU, generator())
        assert [int((value - .5) / .4 * count) for value in drawn.tolist()] == [*range(count)]
    assert not len(stratified(0, .5, .9, CPU, generator()))


def plain_sinkhorn(similarity, temperature):
    """The published statement: prototypes share the mass 1 equally, and so do samples, three times."""
    samples, prototypes = similarity.shape
    q = [[math.exp(float(similarity[n, k]) / temperature) for n in range(samples)] for k in range(prototypes)]
    total = sum(map(sum, q))
    q = [[value / total for value in row] for row in q]
    for _ in range(3):
        q = [[value / sum(row) / prototypes for value in row] for row in q]
        columns = [sum(row[n] for row in q) for n in range(samples)]
        q = [[row[n] / columns[n] / samples for n in range(samples)] for row in q]
    return torch.tensor([[q[k][n] * samples for k in range(prototypes)] for n in range(samples)], dtype=torch.float64)


def test_sinkhorn():
    similarity = random(7, 4) * .1
    made = sinkhorn(similarity, .05)
    torch.testing.assert_close(made, plain_sinkhorn(similarity, .05), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(made.sum(1), torch.ones(7, dtype=torch.float64))
    assert (made.sum(0) - 7 / 4).abs().max() < .2 < (F.softmax(similarity / .05, 1).sum(0) - 7 / 4).abs().max()
    torch.testing.assert_close(sinkhorn(similarity + 1000, .05), made, rtol=1e-6, atol=1e-6)  # without an overflow
    far = torch.tensor([[1., -1.], [1., -1.]])
    assert sinkhorn(far * 100, .04).isfinite().all() and sinkhorn(similarity[:0], .05).shape == (0, 4)


def test_entropy_of_the_mean_assignment():
    one = torch.tensor([[9., 0., 0.], [9., 0., 0.]], dtype=torch.float64)
    spread = 9 * torch.eye(3, dtype=torch.float64)
    assert float(assignment_entropy(one, .1)) == pytest.approx(0, abs=1e-9)
    assert float(assignment_entropy(spread, .1)) == pytest.approx(math.log(3))
    similarity = random(5, 4)
    mean = [sum(math.exp(float(row[k])) / sum(math.exp(float(x)) for x in row) for row in similarity) / 5
            for k in range(4)]
    assert float(assignment_entropy(similarity, 1.)) == pytest.approx(-sum(p * math.log(p) for p in mean), rel=1e-10)


def cross_entropy(similarity, target, temperature):
    weights = [math.exp(float(x) / temperature) for x in similarity]
    return -sum(float(t) * math.log(w / sum(weights)) for t, w in zip(target, weights, strict=True))


def test_loss_of_assignments():
    similarity, target = random(4, 5), F.softmax(random(4, 5, seed=1), 1)
    made = assignment_loss(similarity, target, .3)
    assert made.tolist() == pytest.approx([cross_entropy(similarity[i], target[i], .3) for i in range(4)], rel=1e-10)


def plain_koleo(features):
    unit = [row / math.sqrt(float((row * row).sum())) for row in features]
    distances = []
    for i, row in enumerate(unit):
        others = [(float((row * other).sum()), j) for j, other in enumerate(unit) if j != i]
        nearest = unit[max(others)[1]]
        distances.append(math.sqrt(sum((float(a - b) + 1e-6) ** 2 for a, b in zip(row, nearest, strict=True))))
    return -sum(math.log(distance + 1e-6) for distance in distances) / len(distances)


def test_koleo():
    features = random(6, 4)
    assert float(koleo(features)) == pytest.approx(plain_koleo(features), rel=1e-9)
    close = features.clone()
    close[1] = close[0] * 2  # in the same direction
    assert float(koleo(close)) > float(koleo(features)) and koleo(close).isfinite()
    assert float(koleo(features[:1])) == 0


def test_prototypes_are_unit_vectors_times_a_gain():
    torch.manual_seed(0)
    head = PrototypeHead(4, **HEAD).double()
    x = random(3, 4)
    with torch.no_grad():
        head.gains[2] = 3.
        hidden = x
        for layer in (0, 2):
            hidden = F.gelu(hidden @ head.mlp[layer].weight.t() + head.mlp[layer].bias)
        embedded = hidden @ head.mlp[4].weight.t() + head.mlp[4].bias
        embedded = embedded / embedded.norm(dim=1, keepdim=True)
        for k in range(5):
            direction = head.directions[k] / head.directions[k].norm()
            expected = embedded @ direction * (3. if k == 2 else 1.)
            torch.testing.assert_close(head(x)[:, k], expected)
    head(x, frozen=True).sum().backward()
    assert head.mlp[0].weight.grad.any()
    assert torch.equal(head.directions.grad, torch.zeros_like(head.directions)) and not head.gains.grad.any()
    assert len(PrototypeHead(4, 8, 6, 5, layers=1).mlp) == 1


def test_the_step_follows_its_definition():
    model, views = build(queue_size=4, koleo_weight=.3, patch_weight=.7), inputs()
    model.set_progress(Progress(0, 5, 100))
    recent = model.recent.keys.clone()
    made = model.loss(views, {})
    model.set_progress(Progress(0, 5, 100))
    draws, encoder, temperature = model.draw(views), model.backbone, .04 + .03 * .25
    assert float(draws['temperature']) == pytest.approx(temperature)

    def encode(view, hidden=None):
        """Joint tokens and the class token of the last block of each clip."""
        patches, valid = encoder.patches(view)
        tokens = encoder.embed(patches, None if hidden is None else (hidden, model.mask_token))
        tokens, classes = encoder.read(tokens, valid)
        return tokens, classes[:, 16:]

    with torch.no_grad():
        halves, single = draws['short']
        masks = dict(zip(VIEWS, (*draws['long'].chunk(2), *halves.chunk(2), single), strict=True))
        assert [int(mask.any(1).sum()) for mask in (draws['long'], halves, single)] == [3, 6, 3]
        teacher = {name: encode(views[name]) for name in ('first', 'second')}  # it has just become the student
        student = {name: encode(views[name], masks[name]) for name in VIEWS}
        head, patch_head = model.heads['cls'], model.heads['patch']
        known = torch.cat([head(teacher['first'][1]), head(teacher['second'][1]), head.compare(recent)])
        targets = dict(zip(('first', 'second'), plain_sinkhorn(known, temperature)[:6].chunk(2), strict=True))
        pairs = [('first', 'second'), ('second', 'first')]
        pairs += [(local, long) for local in VIEWS[2:] for long in ('first', 'second')]
        loss_cls = sum(cross_entropy(head(student[view][1])[i], targets[target][i], .1) / 3
                       for view, target in pairs for i in range(3)) / (2 + 2 * 3)
        places = [(name, i, cell) for name in ('first', 'second') for i in range(3)
                  for cell in masks[name][i].nonzero().flatten().tolist()]
        cells = plain_sinkhorn(torch.stack([patch_head(teacher[name][0][i, cell][None])[0]
                                            for name, i, cell in places]), temperature)
        loss_patch = sum(cross_entropy(patch_head(student[name][0][i, cell][None])[0], cells[place], .1)
                         / int(masks[name][i].sum()) for place, (name, i, cell) in enumerate(places)) / 6
        spread = plain_koleo(student['first'][1]) + plain_koleo(student['second'][1])
    assert float(made['loss_cls'].detach()) == pytest.approx(loss_cls, rel=1e-6)
    assert float(made['loss_patch'].detach()) == pytest.approx(.7 * loss_patch, rel=1e-6)
    assert float(made['loss_koleo'].detach()) == pytest.approx(.3 * spread, rel=1e-6)
    assert float(made['assignment_entropy']) == pytest.approx(float(assignment_entropy(known[:6], temperature)))
    torch.testing.assert_close(model.recent.keys[2:], head.embed(torch.cat([teacher[name][1] for name in VIEWS[:2]]))[
        -4:][[2, 3]].detach())


def test_half_of_the_long_views_and_all_short_ones_are_masked():
    model, views = build(), inputs(20)
    drawn = [model.draw(views) for _ in range(2)]
    long, short = (torch.cat(masks).double().mean(1) for masks in (
        [draws['long'] for draws in drawn], [draws['short'][0] for draws in drawn]))
    for draws in drawn:
        assert draws['long'].any(1).sum() == 20
        assert len({*draws['long'][:20].any(1).tolist()}) == 2  # of both views
    assert .5 <= long[long > 0].mean() <= .9 and long.max() <= .9
    assert short.min() > 0 and short.max() <= .9 and short.mean() == pytest.approx(.69, abs=.03)


def test_masked_tokens_in_one_list(monkeypatch):
    mask = torch.rand(3, 8, generator=generator()) < .3
    expected = [(p, t) for p in range(3) for t in range(8) if mask[p, t]]
    rows, counts = masked_rows(mask, 20)
    assert [divmod(row, 8) for row in rows.tolist()] == expected and counts.all()
    monkeypatch.setattr(masking, 'reads_values', lambda x: False)  # as on a device
    rows, counts = masked_rows(mask, 20)
    assert [divmod(row, 8) for row in rows[counts].tolist()] == expected and len(rows) == 20


def test_a_device_computes_the_same(monkeypatch):
    """Its lists of masked tokens contain others, which count nowhere, and it proposes tubes until the end."""
    losses, views = [], inputs()
    for _ in range(2):
        model = build(queue_size=4)
        losses.append(model.loss(views, {}))
        monkeypatch.setattr(masking, 'reads_values', lambda x: False)
    for name, value in losses[0].items():
        torch.testing.assert_close(value, losses[1][name], msg=name)


def test_schedules_and_the_teacher():
    model, views = build(), inputs()
    assert [model.temperature_at(progress) for progress in (0., .1, .2, 1.)] == pytest.approx([.04, .055, .07, .07])
    assert build(warmup=0.).temperature_at(0.) == .07
    assert model.teacher.momentum_at(0.) == pytest.approx(.994) and model.teacher.momentum_at(1.) == 1.
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], .5)
    before = {name: p.clone() for name, p in model.named_parameters()}
    losses = model.loss(views, {})
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert model.mask_token.grad.any() and model.backbone.cls.grad.any() and model.backbone.registers.grad.any()
    optimizer.step()
    model.set_progress(Progress(0, 1, 4))
    model.loss(views, {})
    moved, weight = dict(model.named_parameters()), 1 - model.teacher.momentum_at(.25)
    for name in ('backbone.patch.weight', 'heads.cls.directions', 'backbone.cls'):
        torch.testing.assert_close(moved[f'teacher.{name}'], torch.lerp(before[name], moved[name], weight))
    x = random(2, 3, 16, 15, 1)
    features = model.eval().extract_feat(x)
    torch.testing.assert_close(features, model.teacher.backbone(x).mean((1, 3, 4)))
    assert features.shape == (2, 48) and not torch.equal(features, model.backbone(x).mean((1, 3, 4)))


def test_a_checkpoint_gives_the_teacher_wherever_features_are_used(tmp_path):
    config = dict(type='SLiM', backbone=dict(VIT), head=dict(HEAD), data_preprocessor=dict(
        type='SkeletonPreprocessor', layout='sbu15', views=dict(first=[], second=[])))
    torch.manual_seed(0)
    model, x = MODELS.build(config).eval(), torch.randn(2, 3, 16, 15, 1)
    student = model.backbone(x).mean((1, 3, 4))
    torch.testing.assert_close(model.extract_feat(x), student)  # before the first step
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter.add_(torch.randn_like(parameter) * .1)
        model.teacher.updates.add_(1)
    expected = model.teacher.backbone(x).mean((1, 3, 4))
    path = tmp_path / 'epoch_1.pth'

    def save(state):
        torch.save(dict(state_dict=state, meta=dict(mmskelssl=dict(model=to_json(config), method='SLiM'))), path)
    save(model.state_dict())
    torch.testing.assert_close(build_from_checkpoint(path)[0].extract_feat(x), expected)
    by_config = MODELS.build(config).eval()  # as `test CONFIG CKPT` does
    load_backbone(by_config, path)
    torch.testing.assert_close(by_config.extract_feat(x), expected)
    export_weights(str(path), str(tmp_path / 'a.safetensors'))
    own = MODELS.build(dict(VIT)).eval()
    own.load_state_dict(read_weights(str(tmp_path / 'a.safetensors')))
    torch.testing.assert_close(own(x).mean((1, 3, 4)), expected)
    info = dict(model=config, method='SLiM', dataset=describe_data(dict(pipeline=[]), layout='sbu15'))
    torch.testing.assert_close(member_of(model, info).model.extract_feat(x), expected)
    save({name: value for name, value in model.state_dict().items() if not name.startswith('teacher.')})
    torch.testing.assert_close(build_from_checkpoint(path)[0].extract_feat(x), student)  # there is no teacher


def test_prototypes_are_frozen_at_first():
    model, views = build(frozen_prototypes=.5), inputs()
    for step, frozen in ((0, True), (1, True), (2, False)):
        model.zero_grad()
        model.set_progress(Progress(0, step, 4))
        sum(value for name, value in model.loss(views, {}).items() if 'loss' in name).backward()
        assert all(bool(head.directions.grad.any()) != frozen for head in model.heads.values())


def test_missing_joints_are_not_predicted():
    model, views = build(), inputs()
    whole = model.loss(views, {})
    for view in views.values():
        view[:, :, :, 4] = 0
    model.set_progress(Progress(0, 0, 10))
    missing = model.loss(views, {})
    assert all(value.isfinite() for value in missing.values()) and missing['hidden'] < whole['hidden']


def test_views_of_two_persons_are_refused():
    with pytest.raises(UserError, match='the view first shows 2 persons instead of one: put dict'):
        build().loss(inputs(m=2), {})


def test_views_inside_one_another():
    """The short views lie inside the range of their long view, and all are of the same person."""
    views = dict(
        first=['_first'], second=['_second'], local_1=['_first', dict(type='CropResize', scale=(.1, .3), frames=6)],
        local_2=['_second', dict(type='CropResize', scale=(.35, .7), frames=12, least=8, sample=True)],
        _first=['_person', dict(type='CropResize', scale=(.5, .6), frames=24)],
        _second=['_person', dict(type='CropResize', scale=(.5, .6), frames=24)], _person=[dict(type='PickPerson')])
    preprocessor = MODELS.build(dict(type='SkeletonPreprocessor', layout='sbu15', keep_absent=True, views=views))
    frames = torch.arange(40.).view(1, 1, 40, 1, 1) + 1  # each coordinate is the number of its frame
    x = (frames * torch.tensor([1., -1.])).expand(64, 3, 40, 15, 2)
    made = preprocessor(dict(inputs=x, data_samples=dict(num_frames=torch.full((64,), 40))), True)['inputs']
    assert {name: tuple(view.shape[2:]) for name, view in made.items()} == dict(
        first=(24, 15, 1), second=(24, 15, 1), local_1=(6, 15, 1), local_2=(12, 15, 1))
    for long, short in (('first', 'local_1'), ('second', 'local_2')):
        numbers, inside = made[long][:, 0, :, 0, 0], made[short][:, 0, :, 0, 0]
        assert (inside.amin(1) >= numbers.amin(1) - 1e-4).all() and (inside.amax(1) <= numbers.amax(1) + 1e-4).all()
        assert torch.equal(numbers[:, 0].sign(), made['second'][:, 0, 0, 0, 0].sign())
    assert {*made['first'][:, 0, 0, 0, 0].sign().tolist()} == {1., -1.}
    assert len(made['first'][:, 0, 0, 0, 0].abs().unique()) > 5  # the windows differ


@pytest.mark.parametrize('options, message', [
    (dict(backbone=VIT | dict(cls_blocks=0)), 'use SkeletonViT with cls_blocks=1'),
    (dict(backbone=dict(type='STGCN', layout='sbu15', hidden_channels=4)), 'which STGCN does not have'),
    (dict(mask_ratio=(.9, .5)), 'the first number must not exceed'), (dict(mask_ratio=.5), 'it must be two numbers'),
    (dict(teacher_temperature=(0, .07)), 'teacher_temperature is 0'), (dict(warmup=1.5), 'warmup is 1.5'),
    (dict(views=('first', 'second', 'local_9')), 'may have local_1, .*local_8')])
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


def test_long_views_of_different_lengths():
    views = inputs()
    views['second'] = views['local_1']
    with pytest.raises(UserError, match='first and second must have equally many frames'):
        build().loss(views, {})
