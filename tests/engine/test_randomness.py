"""All generators continue as if nothing had been drawn, also after a round trip through a checkpoint."""
import random

import numpy as np
import torch

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.randomness import random_state, restore_random_state
from mmskelssl.engine.unpickle import to_plain


def draw():
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), float(torch.randn(()))


def test_round_trip(tmp_path):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    draw()  # leaves half a pair of normal numbers behind
    state = random_state()
    torch.save(to_plain(dict(random=state)), tmp_path / 'a.pth')
    assert torch.serialization.get_unsafe_globals_in_checkpoint(str(tmp_path / 'a.pth')) == []
    expected = [draw() for _ in range(3)]
    for saved in (state, load_checkpoint(tmp_path / 'a.pth')['random']):
        restore_random_state(saved)
        assert [draw() for _ in range(3)] == expected
