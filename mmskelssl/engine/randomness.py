"""The generators and algorithms that belong to the whole process: saved, restored, chosen by one run."""
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mmskelssl.errors import UserError


def random_state() -> dict:
    """State of Python's, NumPy's, torch's and every CUDA device's generator."""
    return dict(python=random.getstate(), numpy=np.random.get_state(legacy=True), torch=torch.get_rng_state(),
                cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])


def restore_random_state(state: dict) -> None:
    """Put all generators where :func:`random_state` found them, whatever containers a checkpoint made of it."""
    try:
        _restore(state)
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f'the random states in the checkpoint are damaged ({" ".join(str(error).split())[:100]}); take '
                        'an earlier one') from error


def _restore(state: dict) -> None:
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    kind, words, *rest = state['numpy']
    np.random.set_state((kind, torch.as_tensor(words).cpu().numpy(), *rest))  # a resumed run may have it on its GPU
    torch.set_rng_state(state['torch'].cpu())
    for device, cuda in enumerate(state['cuda'][:torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda.cpu(), device)


@contextmanager
def own_algorithms(deterministic: bool) -> Iterator[None]:
    """Within, a run chooses torch's algorithms, as mmengine does by ``randomness.deterministic``; then the former ones
    are put back, for the next stage and for whatever else the process does.
    """
    enabled, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    chosen = cudnn.deterministic, cudnn.benchmark
    if deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # without it torch refuses to call cuBLAS
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn)
        cudnn.deterministic, cudnn.benchmark = chosen
