"""Encoders."""
from mmskelssl.models.backbones.base import SkeletonBackbone
from mmskelssl.models.backbones.bigru import BiGRU
from mmskelssl.models.backbones.stgcn import STGCN
from mmskelssl.models.backbones.temporal_conv import TemporalConvNet
from mmskelssl.models.backbones.vit import SkeletonViT

__all__ = ['BiGRU', 'STGCN', 'SkeletonBackbone', 'SkeletonViT', 'TemporalConvNet']
