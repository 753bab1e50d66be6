"""Converts checkpoints of the official implementations to the format of this package."""
import io
import os.path as osp
import re

import torch
from torch import Tensor

from mmskelssl.atomic import write_atomically
from mmskelssl.commands.official_slim import read_slim
from mmskelssl.engine.checkpoint import load_checkpoint, load_whole
from mmskelssl.engine.rebuild import build_model
from mmskelssl.engine.run_spec import to_json
from mmskelssl.errors import UserError
from mmskelssl.models import methods
from mmskelssl.names import file_name


def rename_actclr(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert keys and shapes of the code of ActCLR, AimCLR and SkeletonCLR (docs/methods.md 1.7) to ours.

    The query encoder becomes ``backbone``. Its head becomes ``projector`` (two layers) or ``fc`` (from a linear
    evaluation). The key encoder and the queue are dropped, because a new run initialises them from the query encoder.
    """
    renamed = {}
    for key, value in state.items():
        key = key.removeprefix('module.')
        if not key.startswith('encoder_q.'):
            continue
        key = key.removeprefix('encoder_q.').replace('st_gcn_networks.', 'blocks.')
        if key.startswith('fc.'):
            head = re.sub(r'^fc\.(0|2)\.', lambda m: f'projector.mlp.{0 if m[1] == "0" else 3}.', key)
            renamed[head] = value.flatten(1) if value.dim() == 4 else value  # the 1x1 convolution as a linear layer
        else:
            renamed[f'backbone.{key}'] = value
    return renamed


def read_actclr(method: str, source: str, layout: str) -> tuple[dict, dict[str, Tensor]]:
    """Read a checkpoint of ActCLR, AimCLR or SkeletonCLR.

    Returns:
        Config of the model, and its tensors.
    """
    state = rename_actclr(load_checkpoint(source)['state_dict'])
    weight, last = (state.get(f'backbone.blocks.{name}.weight') for name in ('0.gcn.conv', '9.tcn.2'))
    if weight is None or last is None or weight.dim() != 4 or not last.dim():
        raise UserError(f'{source}: no encoder_q.st_gcn_networks.* keys; is this a checkpoint of {method}?')
    backbone = dict(type='STGCN', layout=layout, in_channels=weight.shape[1], hidden_channels=weight.shape[0] // 3,
                    out_channels=last.shape[0])
    views: dict[str, list] = {view: [] for view in getattr(methods, method).view_names}
    return dict(type=method, backbone=backbone, queue_size=64,
                data_preprocessor=dict(type='SkeletonPreprocessor', layout=layout, views=views)), state


READERS = dict(ActCLR=read_actclr, AimCLR=read_actclr, SkeletonCLR=read_actclr, SLiM=read_slim)


def convert(method: str, source: str, target: str, layout: str = 'ntu25') -> None:
    """Convert the official checkpoint ``source`` of a method to ``target``.

    Raises:
        UserError: If the checkpoint does not fill the encoder completely, or ``target`` cannot be written.
    """
    model, state = READERS[method](method, source, layout)
    load_whole(build_model(model, source).backbone, dict(state_dict=state), source, 'backbone.')
    info = dict(model=to_json(model), method=method, stream='joint', seed=0, source=file_name(osp.basename(source)))
    content = io.BytesIO()
    torch.save(dict(state_dict=state, meta=dict(mmskelssl=info)), content)
    try:
        write_atomically(target, content.getvalue())
    except OSError as error:
        raise UserError(f'{target} cannot be written: {error.strerror or error}; choose another place') from error
    print(f'wrote {target}: {len(state)} tensors')
