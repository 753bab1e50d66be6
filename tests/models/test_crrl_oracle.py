"""CRRL's three models against a second implementation of docs/methods.md 3: GRU equations per frame, in float64.

The oracle works on torch vectors, so that its gradients are exact too: what the method detaches, it detaches.
"""
import pytest
import torch

from mmskelssl.models import Progress
from mmskelssl.models.backbones import BiGRU
from mmskelssl.models.methods import CRRL, CRRLMotion, CRRLReconstruct
from mmskelssl.models.modules.decoder import SequenceDecoder

LAYOUT = dict(name='three', joints=['a', 'b', 'c'], parents=[0, 0, 1], hip=0, shoulders=(1, 2))
N, C, FRAMES, V, M, H, E, K = 4, 2, 7, 3, 2, 3, 5, 6
LENGTHS = torch.tensor([5, 6, 1, 2])  # none fills the whole padded length
close = dict(rtol=1e-10, atol=1e-13)


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - .5


def shuffled(model):
    """Build a model with non-trivial weights. Key encoder and teacher do not share the query encoder's weights."""
    for i, p in enumerate(model.double().parameters()):
        with torch.no_grad():
            p.copy_(rand(*p.shape, seed=10 + i))
    if hasattr(model, 'key_encoder'):
        model.key_encoder.updates.fill_(5)
    return model


def build(kind, **options):
    torch.manual_seed(0)
    dropout = options.pop('dropout', 0.)
    return shuffled(kind(BiGRU(LAYOUT, C, M, H, dropout=dropout), **options))


def clips(seed=0):
    """A batch whose padding contains garbage."""
    return rand(N, C, FRAMES, V, M, seed=seed), LENGTHS


def step(model, x, lengths):
    return model.loss({name: x for name in model.view_names}, dict(num_frames=lengths))


# The oracle: a clip is a list of frames, a frame a vector

def frames_of(x, length):
    return [torch.stack([x[c, t, v, m] for m in range(M) for v in range(V) for c in range(C)]) for t in range(length)]


def gru_layer(gru, suffix, inputs):
    """Compute reset gate, update gate and candidate (torch's convention), from a zero state."""
    w_in, w_state, b_in, b_state = (getattr(gru, f'{kind}_{suffix}')
                                    for kind in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'))
    h = w_state.shape[1]
    state, states = torch.zeros(h, dtype=torch.float64), []
    for x in inputs:
        gates = [(w_in[i * h:(i + 1) * h] @ x + b_in[i * h:(i + 1) * h],
                  w_state[i * h:(i + 1) * h] @ state + b_state[i * h:(i + 1) * h]) for i in range(3)]
        reset, update = (1 / (1 + (-a - b).exp()) for a, b in gates[:2])
        candidate = (gates[2][0] + reset * gates[2][1]).tanh()
        state = (1 - update) * candidate + update * state
        states.append(state)
    return states


def encode(gru, frames):
    """Run both directions over the true length. The feature of a frame is [forwards, backwards]."""
    for layer in range(gru.num_layers):
        onwards = gru_layer(gru, f'l{layer}', frames)
        back = gru_layer(gru, f'l{layer}_reverse', frames[::-1])[::-1]
        frames = [torch.cat(pair) for pair in zip(onwards, back, strict=True)]
    return frames


def decode(gru, vector, length):
    frames = [vector] * length
    for layer in range(gru.num_layers):
        frames = gru_layer(gru, f'l{layer}', frames)
    return frames


def mean(vectors):
    return sum(vectors) / len(vectors)


def perceptron(head, x):
    first, last = head.mlp[0], head.mlp[3]
    return last.weight @ (first.weight @ x + first.bias).clamp(min=0.) + last.bias


def on_sphere(x):
    return x / (x * x).sum().sqrt()


def velocity(frames, in_range=False):
    steps = [after - before for before, after in zip(frames, frames[1:], strict=False)] + [frames[0] * 0]
    largest = max(float(step.abs().max()) for step in steps)
    return [step / max(largest, 1e-6) for step in steps] if in_range else steps


def reconstruction(model, x, lengths):
    totals = dict(loss_forward=0., loss_backward=0.)
    for clip, length in zip(x, lengths.tolist(), strict=True):
        frames = frames_of(clip, length)
        states = encode(model.backbone.gru, frames)
        for name, state, target in (('loss_forward', states[0], frames), ('loss_backward', states[-1], frames[::-1])):
            made = decode(model.decoder.gru, state, length)
            totals[name] += sum(((a - b) ** 2).sum() for a, b in zip(made, target, strict=True)) / length / N
    return totals


def same_gradients(model, expected, made, frozen):
    """Those of the oracle, which ran on the same parameters."""
    trained = {name: p for name, p in model.named_parameters() if not name.startswith(frozen)}
    wanted, ours = (torch.autograd.grad(sum(losses.values()), list(trained.values())) for losses in (expected, made))
    for name, a, b in zip(trained, ours, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)


# Encoder and decoder

@pytest.mark.parametrize('n', [N, 40])  # 40 are processed in groups of similar length
@pytest.mark.parametrize('training', [True, False])
def test_encoder(n, training):
    """Groups (with gradient) and packing (without) give the same values, and groups the gradients of packing."""
    net, x = BiGRU(LAYOUT, C, M, H, dropout=0.).double(), rand(n, C, FRAMES, V, M)
    lengths = torch.arange(n) * 5 % FRAMES + 1 if n > N else LENGTHS
    with torch.set_grad_enabled(training):
        made = net(x, lengths)
    assert made.shape == (n, 1, 2 * H, FRAMES, 1)
    expected = torch.zeros(n, 2 * H, FRAMES, dtype=torch.float64)
    for i, length in enumerate(lengths.tolist()):
        expected[i, :, :length] = torch.stack(encode(net.gru, frames_of(x[i], length)), 1)
    torch.testing.assert_close(made[:, 0, :, :, 0], expected, **close)
    if training:
        weight = rand(*expected.shape, seed=2)
        wanted = torch.autograd.grad((expected * weight).sum(), net.parameters())
        ours = torch.autograd.grad((made[:, 0, :, :, 0] * weight).sum(), net.parameters())
        for a, b in zip(ours, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_pooling_is_over_the_true_length():
    model, (x, lengths) = build(CRRLReconstruct), clips()
    for pooling, largest in (('mean', False), ('mean_max', True)):
        model.pooling = pooling
        made = model.extract_feat(x, lengths)
        for clip, length, row in zip(x, lengths.tolist(), made, strict=True):
            states = encode(model.backbone.gru, frames_of(clip, length))
            expected = [mean(states)] + [torch.stack(states).max(0).values] * largest
            torch.testing.assert_close(row, torch.cat(expected), **close)


def test_decoder_sees_one_vector_and_no_frame():
    decoder, state = SequenceDecoder(2 * H, M * V * C).double(), rand(N, 2 * H)
    for row, made, length in zip(state, decoder(state, LENGTHS), LENGTHS.tolist(), strict=True):
        torch.testing.assert_close(made[:length], torch.stack(decode(decoder.gru, row, length)), **close)
        assert len(made) == LENGTHS.max() and not made[length:].any()


@pytest.mark.parametrize('size, frame, count', [((25, 2), 150, 1_809_408), ((20, 1), 60, 1_671_168),
                                                ((31, 1), 93, 1_721_856)])
def test_parameter_counts_of_the_paper(size, frame, count):
    """docs/methods.md 3.2."""
    joints, persons = size
    layout = dict(name='line', joints=list(map(str, range(joints))), parents=[max(j - 1, 0) for j in range(joints)],
                  hip=0, shoulders=(1, 2))
    model = CRRL(BiGRU(layout, 3, persons))
    assert model.backbone.frame_channels == frame
    assert sum(p.numel() for p in model.backbone.parameters()) == count
    assert sum(p.numel() for p in model.head.parameters()) == 525_312
    assert joints != 25 or sum(p.numel() for p in model.decoder.parameters()) == 434_700


# The motion learner

@pytest.mark.parametrize('key_head', ['fixed', 'momentum'])
@pytest.mark.parametrize('scale', ['difference', 'range'])
@pytest.mark.parametrize('in_batch', [False, True])
def test_motion_learner(key_head, scale, in_batch):
    model = build(CRRLMotion, key_head=key_head, velocity=scale, in_batch=in_batch, queue_size=K, temperature=.1,
                  momentum=dict(momentum=.9), projector=dict(hidden_channels=4, out_channels=E))
    model.set_progress(Progress(0, 3, 10))
    (x, lengths), queue = clips(), model.queue.keys.clone()
    before = {name: p.clone() for name, p in model.key_encoder.named_parameters()}
    made = step(model, x, lengths)

    with torch.no_grad():  # the key encoder is updated first, together with its head unless the head is fixed
        for name, p in model.key_encoder.named_parameters():
            online = model.get_parameter(name)
            fixed = key_head == 'fixed' and name.startswith('projector.')
            expected = before[name] if fixed else .9 * before[name] + .1 * online
            torch.testing.assert_close(p, expected, rtol=0 if fixed else 1e-10, atol=0 if fixed else 1e-13)
    queries, keys = [], []
    for clip, length in zip(x, lengths.tolist(), strict=True):
        frames = frames_of(clip, length)
        queries.append(on_sphere(perceptron(model.projector, mean(encode(model.backbone.gru, frames)))))
        steps = velocity(frames, scale == 'range')
        with torch.no_grad():
            state = mean(encode(model.key_encoder.backbone.gru, steps))
            keys.append(on_sphere(perceptron(model.key_encoder.projector, state)))
    loss = 0.
    for i, query in enumerate(queries):
        others = [keys[j] for j in range(N) if in_batch and j != i]
        logits = [(query * other).sum() / .1 for other in (keys[i], *queue, *others)]
        loss -= (logits[0].exp() / sum(logit.exp() for logit in logits)).log() / N
    torch.testing.assert_close(made['loss'], loss, **close)
    assert [name for name in made if 'loss' in name] == ['loss']
    same_gradients(model, dict(loss=loss), dict(loss=made['loss']), ('key_encoder.',))
    torch.testing.assert_close(model.queue.keys, torch.cat([torch.stack(keys), queue[N:]]), **close)


@pytest.mark.parametrize('key_head', ['fixed', 'momentum'])
def test_what_becomes_of_the_key_head(key_head):
    """A fixed head is drawn independently of the query's and never changes. A momentum head follows the query's."""
    torch.manual_seed(0)
    model = CRRLMotion(BiGRU(LAYOUT, C, M, H), key_head=key_head, queue_size=K, momentum=dict(momentum=.5))
    model.double()
    first, optimizer = model.key_encoder.projector.mlp[0].weight.clone(), torch.optim.SGD(model.parameters(), 1.)
    assert torch.equal(first, model.projector.mlp[0].weight) == (key_head == 'momentum')
    for i in range(4):
        step(model, *clips(i))['loss'].backward()
        optimizer.step()
        optimizer.zero_grad()
    now = model.key_encoder.projector.mlp[0].weight
    assert torch.equal(now, first) == (key_head == 'fixed')
    assert not torch.equal(model.projector.mlp[0].weight, now)
    fresh = CRRLMotion(BiGRU(LAYOUT, C, M, H), key_head=key_head, queue_size=K).double()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.key_encoder.projector.mlp[0].weight, now)  # the head is part of the checkpoint


# The reconstructor and the information fuser

def test_reconstruction():
    model, (x, lengths) = build(CRRLReconstruct), clips()
    expected, made = reconstruction(model, x, lengths), step(model, x, lengths)
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value, **close)
    same_gradients(model, expected, made, ('none',))


def test_clips_of_one_length_need_no_lengths():
    model, (x, _) = build(CRRLReconstruct), clips()
    full = torch.full((N,), FRAMES)
    for name, value in reconstruction(model, x, full).items():
        torch.testing.assert_close(model.loss(dict(clip=x), {})[name], value, **close)


def test_distillation():
    """The student's head predicts the feature that the frozen teacher computes from the coordinates."""
    model, (x, lengths) = build(CRRL, distill_weight=.3, head=dict(hidden_channels=4)), clips()
    expected, made = reconstruction(model, x, lengths), step(model, x, lengths)
    expected['loss_distill'] = 0.
    for clip, length in zip(x, lengths.tolist(), strict=True):
        frames = frames_of(clip, length)
        with torch.no_grad():
            target = mean(encode(model.teacher.gru, frames))
        predicted = perceptron(model.head, mean(encode(model.backbone.gru, frames)))
        expected['loss_distill'] += .3 * sum((a - b) ** 2 for a, b in zip(predicted, target, strict=True)) / N
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value, **close)
    same_gradients(model, expected, made, ('teacher.',))


def test_the_teacher_never_changes():
    model = build(CRRL, head=dict(hidden_channels=4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), 1., momentum=.9, weight_decay=.1)
    for i in range(3):
        sum(step(model, *clips(i)).values()).backward()
        assert all(p.grad is None for p in model.teacher.parameters())
        optimizer.step()
        optimizer.zero_grad()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('teacher.'), name


@pytest.mark.parametrize('teacher_dropout', [False, True])
def test_teacher_dropout(teacher_dropout):
    """The released code never disables the teacher's dropout. Here it is disabled by default."""
    model, (x, lengths) = build(CRRL, dropout=.5, teacher_dropout=teacher_dropout), clips()

    def is_random(net):
        return not torch.equal(net(x, lengths), net(x, lengths))
    assert model.training  # before any call of train()
    for _ in range(2):
        assert is_random(model.backbone) and is_random(model.teacher) == teacher_dropout
        model.eval()
        model.train()
    model.eval()
    assert not is_random(model.backbone) and not is_random(model.teacher)
