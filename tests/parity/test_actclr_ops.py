"""Actionlet mask, semantic-aware pooling and similarity KL against stored outputs of the official implementation."""
import numpy as np
import pytest
import torch
from torch import nn

from mmskelssl.layouts import get_layout
from mmskelssl.models.modules.actionlet import actionlet_mask
from mmskelssl.models.modules.pooling import masked_pool
from mmskelssl.ops.queue_kl import select_teacher, similarity_kl


@pytest.fixture(scope='module')
def arrays(reference):
    stored = np.load(reference / 'actclr_ops_reference.npz', allow_pickle=False)
    return {key: torch.from_numpy(stored[key]).double() for key in stored.files if stored[key].dtype == np.float32}


def head(arrays):
    net = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 128)).double()
    with torch.no_grad():
        for layer, i in ((net[0], 1), (net[2], 2)):
            layer.weight.copy_(arrays[f'mask_W{i}'])
            layer.bias.copy_(arrays[f'mask_b{i}'])
    return net


def test_actionlet_mask_and_semantic_pooling(arrays):
    features = arrays['mask_f'].view(6, 2, 256, 13, 25)
    mask = actionlet_mask(features, head(arrays), arrays['mask_mean_feat'], get_layout('ntu25'))
    expected = arrays['mask'].view(6, 2, 13, 25)
    assert 0 < expected.mean() < 1
    # The threshold of 1e-8 magnifies the float32 noise of the stored mask.
    torch.testing.assert_close(mask, expected, rtol=0, atol=2e-4)
    pooled = masked_pool(features, expected).mean(1)
    torch.testing.assert_close(pooled, arrays['safp_feat'], rtol=1e-4, atol=1e-6)


def test_similarity_kl(arrays):
    teacher = arrays['kld_teacher_cos']
    # The queue is the identity here, so that the similarities are the stored ones.
    similarity = teacher.masked_fill(teacher > .95, -1.)
    values, chosen = similarity.topk(8192, 1)
    loss = similarity_kl(arrays['kld_student_cos'].gather(1, chosen), values)
    assert loss.item() == pytest.approx(arrays['kld_loss'].item(), rel=1e-5)
    eye = torch.eye(16384, dtype=torch.float64)
    selected, indices = select_teacher(teacher, eye, 8192)
    torch.testing.assert_close(selected, values)
    assert torch.equal(indices, chosen)
