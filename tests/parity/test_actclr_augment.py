"""Style transfer and actionlet blending against stored outputs of the official ActCLR (docs/methods.md 1.7)."""
import numpy as np
import pytest
import torch

from mmskelssl.augment import blend, transfer_style
from mmskelssl.layouts import get_layout


@pytest.fixture(scope='module')
def arrays(reference):
    return np.load(reference / 'actclr_ops_reference.npz', allow_pickle=False)


def assert_matches(ours, theirs):
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=2e-6)  # values of order 1, stored in float32


def test_blend(arrays):
    x, y, mask = (torch.from_numpy(arrays[key]) for key in ('swap_x', 'swap_y', 'mask'))
    assert_matches(blend(mask, x, y), arrays['swap_out'])


@pytest.mark.parametrize('stream', ['joint', 'motion', 'bone'])
def test_style_transfer(arrays, stream):
    x = torch.from_numpy(arrays['swap_x'])
    before = x.clone()
    shift = int(arrays['trans_shift'][0])
    assert_matches(transfer_style(x, shift, stream, get_layout('ntu25')), arrays[f'trans_{stream}'])
    assert torch.equal(x, before)  # the official joint transfer overwrites it
