"""B4: from the mapped array to four augmented views of a batch, as ActCLR trains on them."""
import itertools
import tempfile

import numpy as np
import torch
from mmengine.config import Config
from torch.utils.data import default_collate

from benchmarks.cases.clips import NTU, clips
from benchmarks.measure import Benchmark, Case, difference
from benchmarks.reference import augment
from mmskelssl.augment import build_augments
from mmskelssl.datasets import SkeletonDataset
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.models.preprocessor import SkeletonPreprocessor

PIPELINE = [dict(type='SelectPersons', max_persons=2), dict(type='PackSkeleton')]


def views() -> dict:
    """The published views, from the config that trains on them."""
    return Config.fromfile('configs/_base_/models/actclr.py').model.data_preprocessor.views.to_dict()


def make_dataset(folder: str, samples: int = 128, frames: int = 50) -> SkeletonDataset:
    """A store of preprocessed clips, two thirds with one person, opened as in training."""
    x = clips(samples, frames, absent=.65).permute(0, 4, 2, 3, 1).numpy()
    with StoreWriter(f'{folder}/store', 'ntu25') as writer:
        for i, clip in enumerate(x):
            writer.add(str(i), clip, 0)
    return SkeletonDataset(f'{folder}/store', 'all', PIPELINE)


def make(quick: bool = False, batch: int = 128) -> Case:
    folder = tempfile.TemporaryDirectory()
    dataset = make_dataset(folder.name, batch)
    preprocessor, rng = SkeletonPreprocessor('ntu25', views=views()), np.random.default_rng(0)
    plain, order = augment.Views(NTU, rng), torch.randperm(batch).tolist()

    iterations = itertools.count()

    def ours():
        preprocessor.set_progress(next(iterations))
        return preprocessor(dataset.__getitems__(order), True)

    def reference(folder=folder):  # kept as long as the case
        samples = [plain(np.array(dataset.clips[i], np.float64)) for i in order]
        return [view.float() for view in default_collate(samples)]

    # Read the batch once, read and write each view once.
    return Case(ours, reference, batch, traffic=4. * batch * 3 * 50 * 25 * 2 * 9)


def check(batch: int = 5, frames: int = 20) -> float:
    """Every operator of the strong view in turn, both arms with the same draws, in float64."""
    generator, x = torch.Generator().manual_seed(0), clips(batch, frames).double()
    plain, found = x.numpy(), []
    for op in build_augments(views()['strong'], NTU):
        drawn = op.draw(x, generator)
        x = op.apply(x, **drawn)
        plain = np.stack([_plain(type(op).__name__, clip, {name: value[i].numpy() for name, value in drawn.items()})
                          for i, clip in enumerate(plain)])
        found.append(difference(x, torch.from_numpy(plain)))
    return max(found)


def _plain(name: str, x: np.ndarray, drawn: dict) -> np.ndarray:
    if name == 'TemporalCrop':
        return augment.temporal_crop(x, int(drawn['start']))
    if name == 'Shear':
        return augment.linear(x, drawn['matrix'])
    if name == 'SpatialFlip':
        return augment.flip(x, NTU.mirror)
    if name == 'Rotate':
        return augment.linear(x, augment.rotation(drawn['angles']))
    if name == 'GaussianNoise':
        return x + drawn['noise']
    if name == 'GaussianBlur':
        return augment.blur(x, float(drawn['sigma']))
    if name == 'AxisMask':
        return augment.axis_mask(x, int(drawn['axis']))
    if name == 'Interpolate':
        return augment.interpolate(x, int(drawn['length']))
    return augment.rescale(x, drawn['factors'], NTU.parents, NTU.order)


BENCHMARKS = {'B4': Benchmark('read and four augmented views', make, check, .18, pairs=9)}
