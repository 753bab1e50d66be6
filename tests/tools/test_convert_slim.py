"""The converter of SLiM's released weights, against a plain encoder on a state dict of their names and shapes."""
import math
import struct

import numpy as np
import torch
from safetensors.torch import save_file
from tool_calls import fails, run
from torch.nn import functional as F

from mmskelssl.apis import FeatureExtractor
from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.inference import weights
from mmskelssl.layouts import get_layout
from mmskelssl.models.backbones import SkeletonViT
from tools.analysis import convert_checkpoint as convert_tool

WIDTH, HEADS, DEPTH, SEGMENT = 64, 2, 2, 8


def official(joints=25, width=WIDTH, depth=DEPTH, registers=4, seed=0) -> dict[str, torch.Tensor]:
    """Tensors with the released names. Width 256 and depth 8 give the released shapes."""
    source = torch.Generator().manual_seed(seed)
    hidden = -(-(4 * width * 2 // 3) // 8) * 8
    shapes = dict(cls_token=(1, 1, width), pos_embed=(1, 1 + joints, width), register_tokens=(1, registers, width),
                  mask_token=(1, width))
    shapes |= {'patch_embed.proj.weight': (width, 3, SEGMENT, 1), 'patch_embed.proj.bias': (width,),
               'norm.weight': (width,), 'norm.bias': (width,)}
    for i in range(depth):
        for name, (out, into) in {'attn.qkv': (3 * width, width), 'attn.proj': (width, width),
                                  'mlp.w12': (2 * hidden, width), 'mlp.w3': (width, hidden)}.items():
            shapes |= {f'blocks.{i}.{name}.weight': (out, into), f'blocks.{i}.{name}.bias': (out,)}
        shapes |= {f'blocks.{i}.norm{n}.{kind}': (width,) for n in (1, 2) for kind in ('weight', 'bias')}
    # Multiples of 1/256, whose sums are exact in float32.
    return {name: (torch.randn(shape, generator=source) * 51).round() / 256 for name, shape in shapes.items()}


def plain_features(state, clip):
    """Encode one person (C, T, V) in float64, token by token: the class token and the mean joint token of SLiM."""
    state = {name: value.double() for name, value in state.items()}

    def linear(x, name):
        return state[f'{name}.weight'] @ x + state[f'{name}.bias']

    def norm(x, name):
        unit = (x - x.mean()) / math.sqrt(float(x.var(unbiased=False)) + 1e-6)
        return unit * state[f'{name}.weight'] + state[f'{name}.bias']

    def turn(x, time):
        half = len(x) // 2
        numbers = torch.complex(x[:half], x[half:])
        speed = 10_000. ** (-torch.arange(half, dtype=torch.float64) * 2 / len(x))
        numbers = numbers * torch.exp(1j * time * speed)
        return torch.cat([numbers.real, numbers.imag])

    tokens = [state['cls_token'][0, 0] + state['pos_embed'][0, 0], *state['register_tokens'][0]]
    times = [0] * len(tokens)
    for start in range(0, clip.shape[1], SEGMENT):
        for v in range(clip.shape[2]):
            token = state['patch_embed.proj.bias'].clone()
            for c in range(3):
                for t in range(SEGMENT):
                    token += state['patch_embed.proj.weight'][:, c, t, 0] * clip[c, start + t, v]
            tokens.append(token + state['pos_embed'][0, 1 + v])
            times.append(start // SEGMENT)
    size = WIDTH // HEADS
    for i in range(DEPTH):
        block = f'blocks.{i}'
        parts = [linear(norm(x, f'{block}.norm1'), f'{block}.attn.qkv') for x in tokens]
        attended = [[] for _ in tokens]
        for head in range(HEADS):
            q, k, v = ([x[part * WIDTH + head * size:part * WIDTH + (head + 1) * size] for x in parts]
                       for part in range(3))
            q, k = ([turn(x, time) for x, time in zip(part, times, strict=True)] for part in (q, k))
            for place, query in enumerate(q):
                scores = torch.stack([query @ key / math.sqrt(size) for key in k]).softmax(0)
                attended[place].append(sum(score * value for score, value in zip(scores, v, strict=True)))
        tokens = [x + linear(torch.cat(heads), f'{block}.attn.proj') for x, heads in zip(tokens, attended, strict=True)]
        for place, x in enumerate(tokens):
            gate, value = linear(norm(x, f'{block}.norm2'), f'{block}.mlp.w12').chunk(2)
            tokens[place] = x + linear(F.silu(gate) * value, f'{block}.mlp.w3')
    first, *others = [norm(x, 'norm') for x in tokens]
    return torch.cat([first, sum(others[4:]) / len(others[4:])])


@torch.no_grad()
def test_the_converted_encoder_is_the_plain_one(tmp_path, monkeypatch, capsys):
    state = official()
    save_file(state, tmp_path / 'model.safetensors')
    run(monkeypatch, convert_tool, 'slim', tmp_path / 'model.safetensors', tmp_path / 'out.pth')
    model, info = build_from_checkpoint(tmp_path / 'out.pth')
    assert (info['method'], info['stream'], info['not_loaded']) == ('SLiM', 'joint', [])
    x = torch.randn(2, 3, 16, 25, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[1, ..., 1] = 0  # an absent person adds nothing
    persons = {(n, m): plain_features(state, x[n, ..., m]) for n, m in ((0, 0), (0, 1), (1, 0))}
    expected = torch.stack([persons[0, 0] + persons[0, 1], persons[1, 0]])
    model.double()
    torch.testing.assert_close(model.extract_feat(x) * 2, expected, rtol=1e-9, atol=1e-9)  # sums over persons
    model.concat_persons = 2  # of the nearest-neighbour protocol, before the normalisation
    both = torch.cat([persons[0, 0], persons[0, 1]])
    torch.testing.assert_close(model.extract_feat(x)[0], both, rtol=1e-9, atol=1e-9)


def test_the_released_shapes_fit_the_encoder_of_the_config(tmp_path, monkeypatch):
    """And half precision is read as well."""
    state = official(width=256, depth=8)
    assert sum(value.numel() for value in state.values()) == 6_368_768  # 6.37 million, as published
    save_file({name: value.half() for name, value in state.items()}, tmp_path / 'model.safetensors')
    run(monkeypatch, convert_tool, 'slim', tmp_path / 'model.safetensors', tmp_path / 'out.pth')
    model, _ = build_from_checkpoint(tmp_path / 'out.pth')
    own = SkeletonViT('ntu25', size='base', segment=8, mlp='swiglu', registers=4, cls_blocks=1)
    own.load_state_dict(model.backbone.state_dict())
    assert own.heads == model.backbone.heads == 8 and next(model.parameters()).dtype == torch.float32
    rows = model.backbone.rows @ model.backbone.joints
    torch.testing.assert_close(rows, state['pos_embed'][0, 1:].half().float())


def test_features_and_a_start_of_training(tmp_path, monkeypatch, tiny_store):
    save_file(official(), tmp_path / 'model.safetensors')
    run(monkeypatch, convert_tool, 'slim', tmp_path / 'model.safetensors', tmp_path / 'out.pth')
    extractor = FeatureExtractor(tmp_path / 'out.pth', 'cpu', like='configs/slim_ntu60.py')
    features = extractor.of_store(tiny_store, 'test').feats
    assert features.shape[1] == 2 * WIDTH and np.isfinite(features).all() and features.std(0).max() > .01
    extractor.save_pretrained(tmp_path / 'saved')
    loaded = FeatureExtractor.from_pretrained(tmp_path / 'saved', 'cpu')
    np.testing.assert_allclose(loaded.of_store(tiny_store, 'test').feats, features, rtol=1e-5, atol=1e-6)


def test_wrong_files_end_in_one_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'model.safetensors'

    def error(state, *args):
        if isinstance(state, dict):
            save_file(state, path)
        else:
            path.write_bytes(state)
        message = fails(monkeypatch, capsys, convert_tool, 'slim', path, tmp_path / 'out.pth', *args)
        assert 'model.safetensors' in message and '\n' not in message.strip() and not (tmp_path / 'out.pth').exists()
        return message

    state = official()

    def without(name, **more):
        return {key: value for key, value in state.items() if name not in key} | more
    assert 'no tensor patch_embed.proj.weight of shape (*, *, *, 1)' in error(dict(a=torch.ones(2)))
    assert 'no tensor cls_token of shape (1, 1, 64)' in error(without('cls_token', cls_token=torch.ones(1, 2, 64)))
    assert 'no tensor pos_embed' in error(without('pos_embed', pos_embed=torch.ones(1, 26, 64, dtype=torch.int32)))
    assert 'it is for 25 joints, and layout kinect20 has 20' in error(state, '--layout', 'kinect20')
    assert 'no blocks.*.mlp.w12.weight' in error(without('w12'))
    assert 'backbone.blocks.1.mlp.outer.weight is missing' in error(without('blocks.1.mlp.w3'))
    assert 'is not in the model' in error(state | dict(head=torch.ones(3)))
    assert 'only multiples of 32' in error(official(width=24))
    assert 'holds NaN' in error(without('norm.bias', **{key: value * torch.nan for key, value in state.items()
                                                       if 'norm.bias' in key}))
    assert 'not a safetensors file' in error(b'PK\3\4') and 'not a safetensors file' in error(
        struct.pack('<Q', 1 << 40) + b'{}')
    assert 'damaged' in error(struct.pack('<Q', 4) + b'nono')
    monkeypatch.setattr(weights, 'MAX_BYTES', 1000)
    assert 'larger than' in error(state)
    message = fails(monkeypatch, capsys, convert_tool, 'slim', tmp_path / 'none', tmp_path / 'out.pth')
    assert 'no such file' in message


def test_joints_without_a_name_of_their_own(tmp_path, monkeypatch, capsys):
    """Such a joint has the position of its neighbours here, and a position of its own in SLiM's weights."""
    save_file(official(joints=get_layout('cmu31').num_joints), tmp_path / 'model.safetensors')
    message = fails(monkeypatch, capsys, convert_tool, 'slim', tmp_path / 'model.safetensors', tmp_path / 'out.pth',
                    '--layout', 'cmu31')
    assert 'layout cmu31 has joints without a canonical name' in message
