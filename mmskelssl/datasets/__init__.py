"""Stores, data sets, deterministic transforms, importers."""
from mmskelssl.datasets import transforms
from mmskelssl.datasets.skeleton_dataset import SkeletonDataset, whole_batch
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter

__all__ = ['SkeletonDataset', 'SkeletonStore', 'StoreWriter', 'transforms', 'whole_batch']
