"""Stores, data sets, deterministic transforms, importers.

The names below are imported when they are asked for: reading a store needs no torch. The registries know where the
data set and the transforms are registered (:mod:`mmskelssl.registry`), so that configs find them by name.
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
