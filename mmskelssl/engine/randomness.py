"""The generators that belong to the whole process, as plain data."""
import random

import numpy as np
import torch


def random_state() -> dict:
    """State of Python's, NumPy's, torch's and every CUDA device's generator."""
    return dict(python=random.getstate(), numpy=np.random.get_state(legacy=True), torch=torch.get_rng_state(),
                cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])


def restore_random_state(state: dict) -> None:
    """Put all generators where :func:`random_state` found them, whatever containers a checkpoint made of it."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    kind, words, *rest = state['numpy']
    np.random.set_state((kind, torch.as_tensor(words).cpu().numpy(), *rest))  # a resumed run may have it on its GPU
    torch.set_rng_state(state['torch'].cpu())
    for device, cuda in enumerate(state['cuda'][:torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda.cpu(), device)
