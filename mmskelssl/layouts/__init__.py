"""Skeleton layouts: the one place where joint indices are written down.

A layout names its joints and says how they hang together. Backbones, streams, augmentations, mixing and drawing
all read it from here. Each built-in layout is one ``.json`` file in this folder, so a new skeleton is a new file here,
or a dict in a config, and no code.
"""
from mmskelssl.layouts.canonical import CANONICAL
from mmskelssl.layouts.library import ALIASES, LAYOUTS, get_layout, read_layout
from mmskelssl.layouts.skeleton import SkeletonLayout

__all__ = ['ALIASES', 'CANONICAL', 'LAYOUTS', 'SkeletonLayout', 'convert_layout', 'get_layout', 'read_layout']


def __getattr__(name: str):
    if name == 'convert_layout':  # needs numpy, which commands that only look a layout up do not
        from mmskelssl.layouts.convert import convert_layout
        return convert_layout
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
