"""Saves and restores the random generators and the choice of algorithms of the whole process."""
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mmskelssl.errors import UserError


def random_state() -> dict:
    """Return the states of the generators of Python, NumPy, torch and every CUDA device."""
    return dict(python=random.getstate(), numpy=np.random.get_state(legacy=True), torch=torch.get_rng_state(),
                cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])


def restore_random_state(state: dict) -> None:
    """Restore all generators from :func:`random_state`, regardless of the containers that a checkpoint stored it in.

    Raises:
        UserError: If the state is damaged.
    """
    try:
        _restore(state)
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f'the random states in the checkpoint are damaged ({" ".join(str(error).split())[:100]}); take '
                        'an earlier one') from error


def _restore(state: dict) -> None:
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    kind, words, *rest = state['numpy']
    np.random.set_state((kind, torch.as_tensor(words).cpu().numpy(), *rest))  # may be on the GPU after resuming
    torch.set_rng_state(state['torch'].cpu())
    for device, cuda in enumerate(state['cuda'][:torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda.cpu(), device)


@contextmanager
def own_algorithms(deterministic: bool) -> Iterator[None]:
    """Restore torch's choice of algorithms after the block, for the next stage and for other code in the process.

    Within the block, mmengine sets it from ``randomness.deterministic``.
    """
    enabled, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    chosen = cudnn.deterministic, cudnn.benchmark
    if deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # torch requires it to call cuBLAS
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn)
        cudnn.deterministic, cudnn.benchmark = chosen
