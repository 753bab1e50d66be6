"""Checks of this machine: packages, GPU, cores, threads, disk, shared memory, OpenCV, and a short training."""
import math
import os
import os.path as osp
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata

import torch

from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.doctor.finding import FAULT, NOTE, OK, Finding
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.rebuild import build_dataset, build_model
from mmskelssl.errors import UserError, explain
from mmskelssl.provenance import machine, versions
from mmskelssl.shipped import shipped_configs

GIB = 1 << 30
DISK, SHARED = 2 * GIB, GIB // 4  # enough for a run on a small data set; for four data workers


def check_machine(seconds: float = 2.) -> Iterator[Finding]:
    """Yield the findings about this machine.

    Args:
        seconds: Duration of the trial training.
    """
    yield Finding(OK, ', '.join(f'{name} {number}' for name, number in versions().items()))
    yield from check_requirements()
    yield check_gpu()
    yield check_threads(torch.get_num_threads(), usable_cores())
    for what, folder, least, cure in (
            ('the current folder', '.', DISK, 'make room, or work on another disk'),
            ('the folder for temporary files', tempfile.gettempdir(), DISK, 'make room, or set TMPDIR')):
        yield check_space(what, folder, least, cure)
    yield check_space('shared memory', '/dev/shm', SHARED, 'data workers may die of a bus error: start the container '
                      'with --shm-size=1g, or set train_dataloader.num_workers=0')
    yield check_opencv()
    yield try_training(seconds)


def check_requirements() -> Iterator[Finding]:
    """Compare the versions of the installed packages with those that mmskelssl requires."""
    from packaging.requirements import InvalidRequirement, Requirement
    try:
        lines = metadata.requires('mmskelssl') or []
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, 'mmskelssl is not installed but imported from a folder, so the versions of its packages '
                      'are not checked', 'install it with pip install -e .')
        return
    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker and not wanted.marker.evaluate({'extra': ''}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            if wanted.name.startswith('opencv-python'):  # has several distributions; `check_opencv` imports it
                continue
            yield Finding(FAULT, f'the package {wanted.name} is missing', f'pip install "{wanted}"')
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            yield Finding(NOTE, f'{wanted.name} {version} is not a tested version ({wanted.specifier})',
                          f'pip install "{wanted}"')


def check_gpu() -> Finding:
    """Report the GPU, or why PyTorch cannot use one that is present."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return Finding(OK, f'GPU {machine()["gpu"]}, {free / GIB:.1f} of {total / GIB:.1f} GiB free')
    if torch.version.cuda:
        return Finding(NOTE, f'no GPU can be used, although PyTorch is built for CUDA {torch.version.cuda}',
                       'if there is a GPU, check its driver with nvidia-smi')
    if shutil.which('nvidia-smi'):
        return Finding(NOTE, 'there is a GPU driver, but PyTorch is built for CPUs',
                       'install a build of PyTorch for CUDA')
    return Finding(OK, 'no GPU: training runs on the CPU')


def usable_cores() -> int:
    """Return the number of cores that this process may use, also in a container with a quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        with open('/sys/fs/cgroup/cpu.max', encoding='ascii') as file:
            quota, period = file.read(100).split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no quota
        return cores


def check_threads(threads: int, cores: int) -> Finding:
    """Compare PyTorch's threads with the usable cores."""
    if threads > cores:
        return Finding(FAULT, f'PyTorch uses {threads} threads on {cores} usable cores, which makes each step several '
                       'times slower', f'set OMP_NUM_THREADS={cores}')
    return Finding(OK, f'{cores} usable cores, {threads} threads')


def check_space(what: str, folder: str, least: int, cure: str) -> Finding:
    """Check the free space of a folder's disk."""
    if not osp.isdir(folder):
        return Finding(NOTE, f'{what} ({folder}) does not exist', cure)
    free = shutil.disk_usage(folder).free
    text = f'{what} has {free / GIB:.1f} GiB free'
    return Finding(OK, text) if free >= least else Finding(FAULT, text, cure)


def check_opencv() -> Finding:
    """Import OpenCV, which often lacks a system library."""
    try:
        import cv2
    except ImportError as error:
        text, _ = explain(error) or (' '.join(str(error).split()), 1)
        return Finding(FAULT, text.removeprefix('error: '))
    return Finding(OK, f'OpenCV {cv2.__version__}')


def try_training(seconds: float) -> Finding:
    """Pre-train on toy clips for some seconds: store, preprocessing, views, steps."""
    try:
        with tempfile.TemporaryDirectory(prefix='mmskelssl-doctor-') as folder:
            store = osp.join(folder, 'toy')
            write_toy_store(store, num_samples=32)
            _, cfg = load_config(str(shipped_configs() / 'simclr_toy.py'), {'data.store': store})[-1]
            cfg, spec = complete(cfg)
            model = build_model(spec.model, 'simclr_toy', seed=0).train()
            dataset = build_dataset(spec.dataset, 'all', 'simclr_toy')
            losses, steps = train_for(model, dataset.__getitems__(list(range(32))), seconds)
    except (OSError, RuntimeError, UserError) as error:
        return Finding(FAULT, f'a trial training fails: {type(error).__name__}: {" ".join(str(error).split())[:300]}',
                       'mmskelssl prepare toy --out data/toy, then mmskelssl train simclr_toy, show more')
    if not all(map(math.isfinite, losses)):
        return Finding(FAULT, f'the loss of a trial training is {losses[-1]} after {len(losses)} steps',
                       'reinstall PyTorch: this machine computes wrong numbers')
    return Finding(OK, f'a trial training ran {steps:.1f} steps of 32 clips per second; its loss went from '
                   f'{losses[0]:.2f} to {losses[-1]:.2f}')


def train_for(model, batch: dict, seconds: float) -> tuple[list[float], float]:
    """Train on one batch for some seconds, on the GPU if there is one.

    Returns:
        The losses, and the number of steps per second without the first one.
    """
    model.to('cuda' if torch.cuda.is_available() else 'cpu')
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses: list[float] = []
    start = time.perf_counter()
    first = start
    while len(losses) < 2 or time.perf_counter() - start < seconds:
        data = model.data_preprocessor(batch, True)
        loss = model(**data, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        first = first if len(losses) > 1 else time.perf_counter()
    return losses, (len(losses) - 1) / (time.perf_counter() - first)
