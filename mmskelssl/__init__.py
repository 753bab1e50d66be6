"""mmskelssl: self-supervised learning on human skeletons."""

__version__ = '0.1.0'
