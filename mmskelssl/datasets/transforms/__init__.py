"""Deterministic transforms of single samples, and of batches. They run once per data set, or per batch."""
from mmskelssl.datasets.transforms.fill_unseen import FillUnseen
from mmskelssl.datasets.transforms.frames import PadFrames, ResizeFrames
from mmskelssl.datasets.transforms.pre_normalize import PreNormalize3D
from mmskelssl.datasets.transforms.skeleton import (
    AlignSequence,
    AlignShoulders,
    Center,
    FitRange,
    PackSkeleton,
    SelectPersons,
)

__all__ = ['AlignSequence', 'AlignShoulders', 'Center', 'FillUnseen', 'FitRange', 'PackSkeleton', 'PadFrames',
           'PreNormalize3D', 'ResizeFrames', 'SelectPersons']
