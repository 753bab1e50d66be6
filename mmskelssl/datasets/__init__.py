"""Stores, data sets, deterministic transforms and importers.

The names below are imported on first access, because reading a store does not need torch. The registries know the
modules of the data set and the transforms (:mod:`mmskelssl.registry`), so configs find them by name.
"""
import importlib

_HOMES = dict(
    SkeletonDataset='mmskelssl.datasets.skeleton_dataset', whole_batch='mmskelssl.datasets.skeleton_dataset',
    SkeletonStore='mmskelssl.datasets.store.reader', StoreWriter='mmskelssl.datasets.store.writer')

__all__ = ['SkeletonDataset', 'SkeletonStore', 'StoreWriter', 'transforms', 'whole_batch']


def __getattr__(name: str):
    if name == 'transforms':
        return importlib.import_module('mmskelssl.datasets.transforms')
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
