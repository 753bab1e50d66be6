"""Shared fixtures: real data and reference arrays if available, and small synthetic stores."""
import gc
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from torch import nn

from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine import plugins
from mmskelssl.layouts import get_layout
from tests.warm import folder_of_python

QUICK = 4  # tests of a file that --quick runs


def pytest_addoption(parser):
    parser.addoption('--quick', action='store_true', help='four tests of each file, one case of each, without those '
                                                          'that are slow or of Hypothesis')


def pytest_configure(config):
    """Stop if pytest-xdist would ignore the groups below: tests would miss what others of their file made."""
    if config.getoption('dist', 'no') == 'loadgroup' and '_nodeid' not in dir(pytest.Item):
        raise pytest.UsageError(f'pytest-xdist does not group tests under pytest {pytest.__version__}: pip install -r '
                                'requirements/tests.txt')


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests that share a module's fixture run in one process, where it is made once (``--dist loadgroup``)."""
    for item in items:
        shared = [name for name, made in item._fixtureinfo.name2fixturedefs.items() if made[-1].scope == 'module']
        if shared:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    if hasattr(config, 'workerinput'):  # one of several processes: a slow test at the end would leave the others idle
        items.sort(key=lambda item: item.get_closest_marker('slow') is None)
    if config.getoption('--quick'):
        _keep_the_quick(config, items)


def pytest_collection_finish(session):
    """What was imported for 6,000 tests stays: the garbage collector need not look at it again after each of them."""
    gc.collect()
    gc.freeze()


def _keep_the_quick(config, items: list) -> None:
    tests, kept, rest = defaultdict(set), [], []
    for item in items:
        test, chosen = item.nodeid.partition('[')[0], tests[item.path]
        # Hypothesis runs such a test on many examples.
        long = item.get_closest_marker('slow') or getattr(item.obj, 'is_hypothesis_test', False)
        (rest if long or test in chosen or len(chosen) >= QUICK else kept).append(item)
        if not long:
            chosen.add(test)
    items[:] = kept
    config.hook.pytest_deselected(items=rest)


def _folder(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f'{variable} is not set')
    folder = Path(os.environ[variable]).resolve()
    if not folder.is_dir():
        pytest.fail(f'{variable}={os.environ[variable]} is not a folder')
    return folder


@pytest.fixture(scope='session')
def reference() -> Path:
    """Folder with outputs of the official implementations."""
    return _folder('MMSKELSSL_REFERENCE')


@pytest.fixture(scope='session')
def real_data() -> Path:
    """Folder with real source files."""
    return _folder('MMSKELSSL_DATA')


def random_clip(rng: np.random.Generator, layout, persons: int, frames: int, label: int = 0) -> np.ndarray:
    """Return a swaying body, each class at its own frequency: (M, T, V, 3) float32 metres without accidental zeros."""
    bones = np.zeros((layout.num_joints, 3))
    time = np.arange(frames)[:, None] / 30
    clip = np.empty((persons, frames, layout.num_joints, 3))
    for person in range(persons):
        root = np.array([person - .4, .1, 3.]) + rng.normal(0, .1, 3)
        bones = rng.normal(0, .15, bones.shape)
        for joint in layout.order:
            phase = rng.uniform(0, 6, 3)
            sway = bones[joint] * (1 + .3 * np.sin(2 * np.pi * (label + 1) * .5 * time + phase))
            parent = layout.parents[joint]
            clip[person, :, joint] = sway + (root if parent == joint else clip[person, :, parent])
    return clip.astype(np.float32)


def write_tiny_store(path: Path, layout: str, persons: int, samples: int = 48, classes: int = 4) -> str:
    """Write a store with splits train (two thirds) and test. Every third clip has one person less."""
    rng, layout = np.random.default_rng(0), get_layout(layout)
    with StoreWriter(path, layout.name, classes=[f'class {i}' for i in range(classes)], source='test') as writer:
        splits = dict(train=[], test=[])
        for i in range(samples):
            name, label = f'clip{i:03d}', (i + i // 12) % classes  # balanced in both splits, without a short period
            there = max(1, persons - (i % 3 == 0))
            clip = random_clip(rng, layout, there, int(rng.integers(8, 40)), label)
            writer.add(name, clip, label, subject=i % 5)
            splits['test' if i % 12 >= 8 else 'train'].append(name)
        for split, names in splits.items():
            writer.set_split(split, names)
    return str(path)


def shorten(model):
    """Keep four of the ten blocks of each ST-GCN, one of each kind: the first, both that halve the frames, the last."""
    for module in model.modules():
        if hasattr(module, 'edge_importance'):
            module.blocks = nn.ModuleList(module.blocks[i] for i in (0, 4, 7, 9))
            module.edge_importance = nn.ParameterList(module.edge_importance[i] for i in (0, 4, 7, 9))
    return model


@pytest.fixture(scope='session')
def tiny_store(tmp_path_factory) -> str:
    """25 joints, one or two persons, 4 classes, 32 training and 16 test samples. Copy it before changing it."""
    return write_tiny_store(tmp_path_factory.mktemp('stores') / 'tiny', 'ntu25', persons=2)


@pytest.fixture(scope='session')
def tiny_kinect_store(tmp_path_factory) -> str:
    """The same with 20 joints and one person."""
    return write_tiny_store(tmp_path_factory.mktemp('stores') / 'tiny_kinect', 'kinect20', persons=1)


@pytest.fixture(scope='session')
def pool_options(tiny_store, tiny_kinect_store) -> dict:
    """Options of ``simclr_toy`` that train a small encoder on both: a batch of 16 has 12 clips of the first."""
    one = [dict(type='SelectPersons', max_persons=1), dict(type='AlignSequence'),
           dict(type='ResizeFrames', frames=24), dict(type='PackSkeleton')]
    return {'data.store': None, 'data.stores': [
        dict(store=tiny_store, weight=3), dict(store=tiny_kinect_store, weight=1, name='kinect', pipeline=one)],
        'model.backbone.channels': (8, 8, 16, 16), 'train_dataloader.batch_size': 16, 'train_cfg.max_epochs': 2,
        'default_hooks.checkpoint.interval': 1, 'default_hooks.knn.interval': 1}


@pytest.fixture(scope='session')
def pool_run(pool_options, tmp_path_factory) -> Path:
    """The work_dir of two epochs with :func:`pool_options`. Copy it before changing it."""
    from mmskelssl.engine.train import train
    from mmskelssl.shipped import find_config
    folder = tmp_path_factory.mktemp('pool') / 'run'
    return Path(train(find_config('simclr_toy'), str(folder), cfg_options=pool_options)).parent


@pytest.fixture(scope='session')
def warm_python():
    """Folder of a ``python`` that needs no time to import torch and mmengine: for commands in processes."""
    with tempfile.TemporaryDirectory(prefix='warm') as folder, folder_of_python(Path(folder)):
        yield Path(folder)


@pytest.fixture(scope='session', autouse=True)
def runs_start_quickly():
    """Skip what takes most of the time of a short run in mmengine: formatting the config and looking for compilers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, False))
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        yield


@pytest.fixture(autouse=True)
def no_scope_left_behind():
    """A Runner sets its default scope for the whole process. The next test must not inherit it."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def no_plugin_left_trusted():
    """A plug-in that a test imports by name is trusted in the whole process. The next test must not inherit this."""
    trusted = plugins._trusted  # a test may replace it
    before = set(trusted)
    yield
    trusted.clear()
    trusted.update(before)
