"""Small and fast versions of all registered methods for the contract tests, with one entry per method."""
import importlib
import sys
from pathlib import Path

import torch

from mmskelssl.augment import stream_channels
from mmskelssl.layouts import get_layout
from mmskelssl.models.base import MomentumContrast
from mmskelssl.registry import MODELS
from tests.conftest import shorten

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'examples' / 'plugin'))
importlib.import_module('skelplug')  # the out-of-tree example, as custom_imports in its config would

WEAK = [dict(type='TemporalCrop'), dict(type='Shear')]
STRONG = [*WEAK, dict(type='SpatialFlip'), dict(type='GaussianNoise'), dict(type='Interpolate'), dict(type='Rescale')]
HEAD = dict(projector=dict(hidden_channels=8, out_channels=6))
MOCO = dict(**HEAD, queue_size=16)
ATTENTION = dict(attention=dict(heads=2), predictor_channels=8)

# Arguments of each method, limited to those that the method needs in addition to the common ones.
ENTRIES = dict(
    SkeletonCLR=MOCO, AimCLR=MOCO, ActCLR=MOCO, SkeAttnCLR=dict(**MOCO, **ATTENTION), SimCLR=HEAD,
    CRRLMotion=MOCO, CRRLReconstruct=dict(), CRRL=dict(head=dict(hidden_channels=8)),
    BarlowTwins=HEAD, VICReg=HEAD, BYOL=HEAD, FeatureDecorrelation=HEAD,
    MAMP=dict(decoder_channels=8, decoder_depth=1, decoder_heads=2, mask_ratio=.75),
    NNTuning=dict(queue_size=16, predictor_channels=8),
    SLiM=dict(head=dict(hidden_channels=8, bottleneck_channels=6, prototypes=16)),
    AlignUniform=HEAD)  # of examples/plugin
VIEWS = dict(strong=STRONG, extreme=STRONG, mixed=['query', dict(type='SwapParts')])
TURN = [dict(type='YawRotate', degrees=30)]  # padded clips are not cropped
FROZEN = ('key_encoder.', 'teacher.')  # modules that never receive a gradient

# Methods that mask tokens need a transformer; SLiM also needs its class token.
TRANSFORMERS = dict(MAMP=dict(), SLiM=dict(cls_blocks=1))

# A layout without a file: a body of 31 joints, as written in a config.
BODY31 = dict(name='body31', joints=[f'joint{j}' for j in range(31)], parents=[max(j - 1, 0) for j in range(31)], hip=0,
           shoulders=(11, 21), pairs=[(11 + j, 21 + j) for j in range(10)],
           parts=dict(trunk=[*range(11)], right_arm=[*range(21, 31)], left_arm=[*range(11, 21)]))

METHODS = [*ENTRIES]
SEQUENCES = [name for name in METHODS if MODELS.get(name).variable_length]
QUEUED = [name for name in METHODS if issubclass(MODELS.get(name), MomentumContrast)]


def encoder(kind: str, layout, persons: int, dropout: float, width: int = 4) -> dict:
    sizes = dict(STGCN=dict(hidden_channels=width, out_channels=2 * width, dropout=dropout),
                 BiGRU=dict(hidden_channels=width, num_persons=persons, dropout=dropout),
                 SkeletonViT=dict(channels=2 * width, depth=1, heads=2),
                 TemporalConvNet=dict(channels=(width, width, 2 * width, 2 * width), num_persons=persons))
    return dict(type=kind, layout=layout, **sizes[kind])


def build(method, layout='ntu25', stream='joint', persons=2, dropout=.5, kind=None, width=4, **options):
    """Build a method with a suitable encoder."""
    kind = kind or ('BiGRU' if method in SEQUENCES else 'SkeletonViT' if method in TRANSFORMERS else 'STGCN')
    views = {name: TURN if method in SEQUENCES else VIEWS.get(name, WEAK) for name in MODELS.get(method).view_names}
    if method == 'SLiM':  # one person of each clip
        views = {'_person': [dict(type='PickPerson')], **{name: ['_person', *ops] for name, ops in views.items()}}
    preprocessor = dict(type='SkeletonPreprocessor', layout=layout, stream=stream, views=views)
    return shorten(MODELS.build(dict(
        type=method, backbone=dict(encoder(kind, layout, persons, dropout, width),
                                   in_channels=stream_channels(stream, 3), **TRANSFORMERS.get(method, {})),
        **{'data_preprocessor': preprocessor, **ENTRIES[method], **options})))


def batch(n, layout='ntu25', persons=2, frames=16, seed=0, lengths=None):
    """Make clips without labels. With ``lengths``, frames beyond a clip's length are zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, frames, get_layout(layout).num_joints, persons, generator=generator) * .3
    lengths = torch.full((n,), frames) if lengths is None else torch.tensor(lengths)
    x = x * (torch.arange(frames) < lengths[:, None]).view(n, 1, frames, 1, 1)
    return dict(inputs=x, data_samples=dict(index=torch.arange(n), num_frames=lengths))


def step(model, data, optimizer=None):
    """Run a training step and return the loss and the values to log."""
    views = model.data_preprocessor(data, True)
    total, log = model.parse_losses(model(**views, mode='loss'))
    total.backward()
    if optimizer:
        optimizer.step()
        optimizer.zero_grad()
    return total.item(), log


def promised(model) -> dict:
    """Return the trainable parameters by name."""
    return {name: p for name, p in model.named_parameters() if not name.startswith(FROZEN)}
