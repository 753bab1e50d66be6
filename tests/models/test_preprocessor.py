"""SkeletonPreprocessor compared with plain NumPy: alignment, streams, and reproducibility of its draws."""
import copy

import numpy as np
import pytest
import torch

from mmskelssl.augment import BatchAugment
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.models import preprocessor as module
from mmskelssl.models.preprocessor import SkeletonPreprocessor

NOISE = [dict(type='GaussianNoise', p=1., std=.1)]


def clips(n=3, channels=3, frames=6, layout='ntu25', persons=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, channels, frames, get_layout(layout).num_joints, persons, generator=generator).double()
    x[0, ..., persons - 1] = 0  # one person is absent
    return x


def batch(x):
    return dict(inputs=x, data_samples=dict(index=torch.arange(len(x))))


def aligned(x, layout):
    """Steps 3 and 5 of docs/methods.md 0.1, person by person and frame by frame."""
    x, layout = x.numpy(), get_layout(layout)
    left, right, centre = *layout.shoulders, layout.centre
    out = np.zeros_like(x)
    for n in range(x.shape[0]):
        for m in range(x.shape[4]):
            body = x[n, ..., m] - x[n, :, :, centre:centre + 1, m]  # (3, T, V)
            across = body[:, :, right] - body[:, :, left]
            sign = -1 if across[2].sum() >= 0 else 1
            for t in range(x.shape[2]):
                flat = across[[0, 2], t]
                theta = sign * np.arccos(flat[0] / (np.sqrt((flat**2).sum()) + 1e-4))
                turn = np.array([[np.cos(theta), 0, -np.sin(theta)], [0, 1, 0], [np.sin(theta), 0, np.cos(theta)]])
                out[n, :, t, :, m] = turn @ body[:, t]
    return out


def in_stream(x, stream, layout):
    """docs/methods.md 0.2; x (N, C, T, V, M)."""
    out = np.zeros_like(x)
    for joint, parent in enumerate(get_layout(layout).parents):
        if stream == 'bone':
            out[:, :, :, joint] = x[:, :, :, joint] - x[:, :, :, parent]
    for t in range(x.shape[2] - 1):
        if stream == 'motion':
            out[:, :, t] = x[:, :, t + 1] - x[:, :, t]
    return x if stream == 'joint' else out


def expected(x, alignment, stream, layout):
    parts = [x.numpy()] if alignment != 'frame' else []
    parts += [aligned(x, layout)] if alignment != 'none' else []
    return torch.from_numpy(in_stream(np.concatenate(parts, 1), stream, layout))


@pytest.mark.parametrize('layout', ['ntu25', 'kinect20', 'sbu15'])
@pytest.mark.parametrize('alignment', ['none', 'frame', 'both'])
@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_alignment_and_stream(layout, alignment, stream):
    x = clips(layout=layout)
    made = SkeletonPreprocessor(layout, stream=stream, alignment=alignment)(batch(x))['inputs']
    assert made.shape[1] == (6 if alignment == 'both' else 3)
    torch.testing.assert_close(made, expected(x, alignment, stream, layout), rtol=1e-9, atol=1e-9)
    assert made[0, ..., 1].abs().sum() == 0  # an absent person stays absent


def test_alignment_faces_the_front():
    """Shoulders lie along x up to the published 1e-4 in the angle, if all frames agree on a side."""
    x, layout = clips(n=4), get_layout('ntu25')
    left, right = layout.shoulders
    x[:, 2, :, right] = x[:, 2, :, left] + x[:, 2, :, right].abs()
    made = SkeletonPreprocessor('ntu25', alignment='frame')(batch(x))['inputs'][1:]
    across = made[:, :, :, right] - made[:, :, :, left]
    assert across[:, 2].abs().max() < .1 and (across[:, 0] > 0).all()
    assert made[:, :, :, layout.centre].abs().max() == 0


class Square(BatchAugment):
    """An augmentation that commutes with neither alignment nor stream and counts its calls."""
    calls = 0

    def apply(self, x):
        self.calls += 1
        return x.square()


@pytest.mark.parametrize('alignment', ['none', 'both'])
@pytest.mark.parametrize('stream', ['bone', 'motion'])
def test_augmentation_comes_before_alignment_and_stream(alignment, stream):
    x = clips()
    made = SkeletonPreprocessor('ntu25', stream=stream, alignment=alignment, views=dict(a=[Square()], b=[]))
    views = made(batch(x), True)['inputs']
    torch.testing.assert_close(views['a'], expected(x.square(), alignment, stream, 'ntu25'), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(views['b'], expected(x, alignment, stream, 'ntu25'), rtol=1e-9, atol=1e-9)


def test_evaluation_draws_nothing():
    square = Square()
    made, x = SkeletonPreprocessor('ntu25', views=dict(a=[square, *NOISE])), clips()
    before = made(batch(x), True)['inputs']['a']
    made.set_progress(0)
    assert torch.equal(made(batch(x), False)['inputs'], x) and square.calls == 1
    assert torch.equal(made(batch(x), True)['inputs']['a'], before)  # the generator has not advanced
    assert torch.equal(SkeletonPreprocessor('ntu25')(batch(x), True)['inputs'], x)  # no views: clips


def test_views_by_name_beside_the_samples():
    x, made = clips(), SkeletonPreprocessor('ntu25', views=dict(query=NOISE, key=NOISE, plain=None))
    data = batch(x)
    before = copy.deepcopy(data)
    out = made(data, True)
    assert list(out['inputs']) == ['query', 'key', 'plain']
    assert torch.equal(out['data_samples']['index'], torch.arange(3))
    assert not torch.equal(out['inputs']['query'], out['inputs']['key']) and torch.equal(out['inputs']['plain'], x)
    assert torch.equal(data['inputs'], before['inputs']) and data.keys() == before.keys()  # the batch is not modified


def test_draws_depend_on_seed_rank_and_iteration(monkeypatch):
    x = clips()

    def view(seed=0, rank=0, iteration=5, built_at=0):
        monkeypatch.setattr(module, 'get_rank', lambda: built_at)
        made = SkeletonPreprocessor('ntu25', views=dict(a=NOISE), seed=seed)
        monkeypatch.setattr(module, 'get_rank', lambda: rank)
        made.set_progress(iteration)
        torch.rand(3)
        return made(batch(x), True)['inputs']['a']
    first = view()
    assert torch.equal(view(), first) and torch.equal(view(built_at=3), first)
    others = [first, view(seed=1), view(rank=1), view(iteration=6), view(seed=1, rank=5, iteration=0),
              view(seed=5, rank=0, iteration=1)]  # the three numbers are not simply added
    assert not any(torch.equal(a, b) for i, a in enumerate(others) for b in others[:i])


def test_before_the_first_iteration_ranks_differ_too(monkeypatch):
    views = []
    for rank in (0, 1):
        monkeypatch.setattr(module, 'get_rank', lambda rank=rank: rank)
        views.append(SkeletonPreprocessor('ntu25', views=dict(a=NOISE))(batch(clips()), True)['inputs']['a'])
    assert not torch.equal(*views)


@pytest.mark.parametrize('kept, power', [((), 1), ((1,), 2), ((0, 2), 4), ((0, 1, 2), 8)])
def test_active_operators(kept, power):
    made, x = SkeletonPreprocessor('ntu25', views=dict(a=[Square(), Square(), Square()], b=[Square()])), clips()
    assert made.active == dict(a=(0, 1, 2), b=(0,))
    made.active['a'] = kept
    views = made(batch(x), True)['inputs']
    torch.testing.assert_close(views['a'], x**power, rtol=1e-9, atol=0)
    assert torch.equal(views['b'], x**2)


@pytest.mark.parametrize('keep_absent', [False, True])
def test_absent_persons_under_noise(keep_absent):
    """The published noise gives absent persons a body."""
    x = clips()
    made = SkeletonPreprocessor('ntu25', views=dict(a=NOISE), keep_absent=keep_absent)(batch(x), True)['inputs']['a']
    assert (made[0, ..., 1].abs().sum() == 0) == keep_absent
    assert (made[1:] != x[1:]).all() and (made[0, ..., 0] != x[0, ..., 0]).all()


def with_velocity(x, lengths, stream, layout):
    """Velocity appends the difference to the next frame of the stream. No difference crosses the end of a clip."""
    out = in_stream(x.numpy(), stream, layout)
    step = np.zeros_like(out)
    for n, length in enumerate(lengths):
        if stream == 'motion':
            out[n, :, length - 1:] = 0
        for t in range(length - 1):
            step[n, :, t] = out[n, :, t + 1] - out[n, :, t]
    return torch.from_numpy(np.concatenate([out, step], 1))


@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
@pytest.mark.parametrize('training', [False, True])
def test_velocity(stream, training):
    x, lengths = clips(), [4, 6, 1]
    for clip, length in zip(x, lengths, strict=True):
        clip[:, length:] = 0
    made = SkeletonPreprocessor('ntu25', stream, velocity=True, views=dict(a=[]))
    data = batch(x)
    data['data_samples']['num_frames'] = torch.tensor(lengths)
    out = made(data, training)['inputs']
    wanted = with_velocity(x, lengths, stream, 'ntu25')
    torch.testing.assert_close(out['a'] if training else out, wanted, rtol=1e-12, atol=1e-12)
    whole = made(batch(x), False)['inputs']  # without lengths, all frames are real
    torch.testing.assert_close(whole, with_velocity(x, [6] * 3, stream, 'ntu25'), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('alignment', ['none', 'frame', 'both'])
@pytest.mark.parametrize('velocity', [False, True])
def test_channels_are_those_the_backbone_gets(alignment, velocity):
    made = SkeletonPreprocessor('ntu25', alignment=alignment, velocity=velocity)(batch(clips()))['inputs']
    assert made.shape[1] == SkeletonPreprocessor.channels(3, alignment, velocity)
    if velocity:
        place, step = made.chunk(2, 1)
        torch.testing.assert_close(step[:, :, :-1], place[:, :, 1:] - place[:, :, :-1])
        assert not step[:, :, -1].any()


def test_a_view_continues_from_an_earlier_one():
    """A view continues from the augmented clips of the other view, drawn once, before alignment and stream."""
    x, square = clips(), Square()
    made = SkeletonPreprocessor('ntu25', 'motion', 'both', views=dict(
        query=[*NOISE, square], key=NOISE, mixed=['query', Square()], same=['mixed']))
    views = made(batch(x), True)['inputs']
    alone = SkeletonPreprocessor('ntu25', views=dict(query=NOISE))(batch(x), True)['inputs']['query']
    assert square.calls == 1
    for name, power in (('query', 2), ('mixed', 4), ('same', 4)):
        torch.testing.assert_close(views[name], expected(alone**power, 'both', 'motion', 'ntu25'), rtol=1e-9, atol=1e-9)
    assert made.active == dict(query=(0, 1), key=(0,), mixed=(0,), same=())


def test_results_between_augmentations_are_overwritten(monkeypatch):
    """The clips, and the view that another continues from, stay as they are."""
    ops = [dict(type=name, p=.5) for name in ('Shear', 'GaussianNoise', 'AxisMask', 'TimeReverse', 'SpatialFlip')]
    data, call, made, overwritten = batch(clips(8)), BatchAugment.__call__, [], []

    def watched(self, x, generator, scores=0, overwrite=False):
        overwritten[-1].append(overwrite)
        return call(self, x, generator, scores, overwrite)
    monkeypatch.setattr(BatchAugment, '__call__', watched)
    before = data['inputs'].clone()
    for shared in (module._share_memory, lambda *_: True):
        monkeypatch.setattr(module, '_share_memory', shared)
        overwritten.append([])
        made.append(SkeletonPreprocessor('ntu25', views=dict(weak=ops, strong=['weak', *ops]))(data, True)['inputs'])
    assert all(torch.equal(made[0][name], made[1][name]) for name in ('weak', 'strong'))
    assert torch.equal(data['inputs'], before)
    assert overwritten[0] == 2 * [False, True, True, True, True] and not any(overwritten[1])


@pytest.mark.parametrize('keep_absent', [False, True])
def test_absent_persons_in_a_swap(keep_absent):
    """A swap gives an absent person the partner's limbs, unless ``keep_absent`` is set."""
    x = clips(frames=64)
    made = SkeletonPreprocessor('ntu25', keep_absent=keep_absent, views=dict(
        query=[], mixed=['query', dict(type='SwapParts')]))
    views = made(batch(x), True)['inputs']
    assert torch.equal(views['query'], x) and (views['mixed'] != x).any()
    assert (views['mixed'][0, ..., 1] == 0).all() == keep_absent


def test_views_may_be_written_in_any_order():
    """The order of views does not matter, because mmengine sorts the keys when it prints a config."""
    x, clips_of = clips(), []
    for views in (dict(query=NOISE, mixed=['query', Square()], same=['mixed']),
                  dict(same=['mixed'], mixed=['query', Square()], query=NOISE)):
        clips_of.append(SkeletonPreprocessor('ntu25', views=views)(batch(x), True)['inputs'])
    assert all(torch.equal(clips_of[0][name], clips_of[1][name]) for name in ('query', 'mixed', 'same'))
    assert torch.equal(clips_of[1]['same'], clips_of[1]['query'].square())


@pytest.mark.parametrize('views, message', [
    (dict(query=[], key=[], mixed=['qery']), "'mixed' continues from 'qery', .*available views: query, key, mixed"),
    (dict(query=['query']), "'query' continues from 'query'"),
    (dict(a=['b'], b=['a', *NOISE], c=[]), "'a' continues from 'b', 'b' continues from 'a'")])
def test_a_view_that_cannot_be_continued(views, message):
    with pytest.raises(UserError, match=message):
        SkeletonPreprocessor('ntu25', views=views)


@pytest.mark.parametrize('alignment', ['none', 'frame', 'both'])
def test_a_single_frame(alignment):
    x = clips(frames=1)
    for stream in ('joint', 'bone', 'motion'):
        made = SkeletonPreprocessor('ntu25', stream, alignment, views=dict(a=[]))(batch(x), True)['inputs']['a']
        torch.testing.assert_close(made, expected(x, alignment, stream, 'ntu25'), rtol=1e-9, atol=1e-9)
        assert made.isfinite().all()


def test_two_coordinates():
    x = clips(channels=2)
    for stream in ('bone', 'motion'):  # these streams are linear, so any coordinates work
        made = SkeletonPreprocessor('ntu25', stream)(batch(x))['inputs']
        torch.testing.assert_close(made, expected(x, 'none', stream, 'ntu25'))
    for alignment in ('frame', 'both'):
        with pytest.raises(UserError, match=r'needs clips of 3 coordinates.*got \(3, 2, 6, 25, 2\)'):
            SkeletonPreprocessor('ntu25', alignment=alignment)(batch(x))


@pytest.mark.parametrize('shape', [(2, 3, 6, 20, 2), (2, 3, 6, 25), (3, 6, 25, 2)])
def test_clips_of_another_shape(shape):
    with pytest.raises(UserError, match=r'V = 25, the joints of layout .ntu25.'):
        SkeletonPreprocessor('ntu25', views=dict(a=[]))(batch(torch.zeros(shape)), True)


@pytest.mark.parametrize('options, message', [
    (dict(stream='colour'), "stream is 'colour': choose one of joint, bone, motion"),
    (dict(alignment='shoulders'), "alignment is 'shoulders': choose one of none, frame, both"),
    (dict(layout='ntu24'), "unknown layout 'ntu24'"),
    (dict(views=dict(a=[dict(type='Shera')])), 'Shear')])
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        SkeletonPreprocessor(**{'layout': 'ntu25', **options})


@pytest.mark.parametrize('velocity', [False, True])
@pytest.mark.parametrize('alignment', ['none', 'frame', 'both'])
@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_scores_are_the_last_channel_and_stay_as_they_are(stream, alignment, velocity):
    x = clips()
    scores = (x != 0).any(1, keepdim=True) * .5
    both, options = torch.cat([x, scores], 1), dict(stream=stream, alignment=alignment, velocity=velocity)
    made = SkeletonPreprocessor('ntu25', scores=True, **options)(batch(both))['inputs']
    assert made.shape[1] == SkeletonPreprocessor.channels(3, alignment, velocity, True)
    assert torch.equal(made[:, -1:], scores)
    torch.testing.assert_close(made[:, :-1], SkeletonPreprocessor('ntu25', **options)(batch(x))['inputs'])


def test_scores_in_views():
    """The coordinates of a view are those of the same draws without scores."""
    x = clips()
    both = torch.cat([x, torch.rand(x[:, :1].shape).double()], 1)
    views = dict(a=[dict(type='Shear'), *NOISE], b=['a', dict(type='TimeReverse', p=1.)])
    made = SkeletonPreprocessor('ntu25', scores=True, views=views)(batch(both), True)['inputs']
    plain = SkeletonPreprocessor('ntu25', views=views)(batch(x), True)['inputs']
    for name, scores in (('a', both[:, 3:]), ('b', both[:, 3:].flip(2))):
        torch.testing.assert_close(made[name][:, :3], plain[name])
        assert torch.equal(made[name][:, 3:], scores)


def test_a_view_for_other_views_only():
    """The method does not see it, and the draws of those that continue from it are the same as if it did."""
    x, crop = clips(frames=12), dict(type='CropResize', scale=(.5, .5), frames=5)
    ops = dict(_base=[crop], a=['_base', *NOISE], b=['_base'], c=['_base', dict(crop, frames=3)])
    seen = {name.strip('_'): [op.strip('_') if isinstance(op, str) else op for op in view]
            for name, view in ops.items()}
    hidden, shown = (SkeletonPreprocessor('ntu25', stream, views=views)(batch(x), True)['inputs']
                     for stream, views in (('joint', ops), ('joint', seen)))
    assert [*hidden] == ['a', 'b', 'c'] and [*shown] == ['base', 'a', 'b', 'c']
    assert all(torch.equal(view, shown[name]) for name, view in hidden.items())
    assert [view.shape[2] for view in hidden.values()] == [5, 5, 3]
    motion = SkeletonPreprocessor('ntu25', 'motion', views=ops)(batch(x), True)['inputs']['b']
    torch.testing.assert_close(motion[:, :, :-1], hidden['b'].diff(dim=2))  # its last frames are no padding


def test_one_person_of_those_who_are_present():
    x = clips()
    x[1, ..., 1] = 0
    views = dict(a=[dict(type='PickPerson'), dict(type='GaussianNoise', p=1.)], b=[dict(type='GaussianNoise', p=1.)])
    made = SkeletonPreprocessor('ntu25', keep_absent=True, views=views)(batch(x), True)['inputs']
    assert made['a'].shape[4] == 1 and made['a'].flatten(1).any(1).all()
    assert made['b'].shape[4] == 2 and not made['b'][1, ..., 1].any()
