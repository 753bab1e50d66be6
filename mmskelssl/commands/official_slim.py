"""Reads the released weights of SLiM's encoder, a safetensors file (docs/methods.md 9.5)."""
import re

from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.inference.weights import read_weights
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.backbones.vit import joint_rows
from mmskelssl.ops.precision import widen

HEAD = 32  # width of an attention head, which the tensors do not show
NAMES = {'patch_embed.proj.': 'patch.', '.attn.qkv.': '.attention.qkv.', '.attn.proj.': '.attention.out.',
         '.mlp.w12.': '.mlp.inner.', '.mlp.w3.': '.mlp.outer.'}


def read_slim(method: str, source: str, layout: str) -> tuple[dict, dict[str, Tensor]]:
    """Read the file ``model.safetensors`` of SLiM's encoder, which is the teacher's.

    Returns:
        Config of a model of the encoder alone, and its tensors.

    Raises:
        UserError: If the file is not of SLiM, or for another number of joints. The message names it.
    """
    state, body = read_weights(source), get_layout(layout)
    patch = _tensor(state, 'patch_embed.proj.weight', (None, None, None, 1), source)
    width = patch.shape[0]
    if width % HEAD:
        raise UserError(f'{source}: the encoder has {width} channels; only multiples of {HEAD} are read')
    positions = _tensor(state, 'pos_embed', (1, None, width), source)
    if positions.shape[1] != 1 + body.num_joints:
        raise UserError(f'{source}: it is for {positions.shape[1] - 1} joints, and layout {layout} has '
                        f'{body.num_joints}: choose another --layout')
    _tensor(state, 'cls_token', (1, 1, width), source)
    registers = 0
    if 'register_tokens' in state:
        registers = _tensor(state, 'register_tokens', (1, None, width), source).shape[1]
    depth = sum(re.fullmatch(r'blocks\.\d+\.mlp\.w12\.weight', name) is not None for name in state)
    if not depth:
        raise UserError(f'{source}: no blocks.*.mlp.w12.weight; is this the model.safetensors of {method}?')
    backbone = dict(type='SkeletonViT', layout=layout, in_channels=patch.shape[1], channels=width, depth=depth,
                    heads=width // HEAD, segment=patch.shape[2], mlp='swiglu', registers=registers, cls_blocks=1)
    return dict(type='FrozenEncoder', backbone=backbone,
                data_preprocessor=dict(type='SkeletonPreprocessor', layout=layout)), rename_slim(state, body)


def rename_slim(state: dict[str, Tensor], layout: SkeletonLayout) -> dict[str, Tensor]:
    """Convert the keys and shapes of SLiM's code to ours.

    The position of each joint becomes the row of its canonical name, and the other rows are zero. The position of the
    class token is added to this token. The mask token, which only pre-training needs, is dropped.
    """
    rows = joint_rows(layout)
    if not (rows.amax(1) == 1).all() or rows.sum(0).amax() > 1:
        raise UserError(f'layout {layout.name} has joints without a canonical name, which would share positions: '
                        'choose another --layout')
    position = widen(state['pos_embed'])[0]
    renamed = {'backbone.cls': widen(state['cls_token'])[0] + position[:1],
               'backbone.joints': rows.to(position).t() @ position[1:],
               'backbone.registers': widen(state['register_tokens'])[0] if 'register_tokens' in state else
               position.new_zeros(0, position.shape[1])}
    for key, value in state.items():
        if key in ('pos_embed', 'cls_token', 'register_tokens', 'mask_token'):
            continue
        ours = key
        for before, after in NAMES.items():
            ours = ours.replace(before, after)
        # The convolution over segments that do not overlap as a linear layer.
        renamed[f'backbone.{ours}'] = value.flatten(1) if key == 'patch_embed.proj.weight' else value
    return renamed


def _tensor(state: dict[str, Tensor], name: str, shape: tuple[int | None, ...], source: str) -> Tensor:
    """Return a tensor of floats of a shape, in which None stands for any size from 1 on."""
    value = state.get(name)
    if value is None or value.dim() != len(shape) or not value.is_floating_point() or not value.numel() \
            or any(size not in (None, given) for size, given in zip(shape, value.shape, strict=True)):
        wanted = ', '.join('*' if size is None else str(size) for size in shape)
        raise UserError(f'{source}: no tensor {name} of shape ({wanted}); is this the model.safetensors of SLiM?')
    return value
