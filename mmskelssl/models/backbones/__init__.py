"""Encoders."""
from mmskelssl.models.backbones.stgcn import STGCN

__all__ = ['STGCN']
