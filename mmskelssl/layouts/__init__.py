"""Skeleton layouts: the only place that defines joint indices.

A layout names its joints and defines how they are connected. Backbones, streams, augmentations, mixing and drawing all
use it. Each built-in layout is one ``.json`` file in this folder. A new skeleton needs only a new file here, or a dict
in a config, and no code.
"""
from mmskelssl.layouts.canonical import CANONICAL
from mmskelssl.layouts.library import ALIASES, LAYOUTS, get_layout, read_layout
from mmskelssl.layouts.skeleton import SkeletonLayout

__all__ = ['ALIASES', 'CANONICAL', 'LAYOUTS', 'SkeletonLayout', 'convert_layout', 'get_layout', 'read_layout']


def __getattr__(name: str):
    if name == 'convert_layout':  # imports numpy, which commands that only look up a layout do not need
        from mmskelssl.layouts.convert import convert_layout
        return convert_layout
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
