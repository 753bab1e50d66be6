"""The classifier on its own and as the model of a config."""
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.models import SkeletonClassifier
from mmskelssl.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
BACKBONE = dict(type='BiGRU', layout='ntu25', hidden_channels=4, num_persons=1)


def test_modes():
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SkeletonClassifier', backbone=BACKBONE, num_classes=3, head_std=.01)).eval()
    assert model.head.bias.abs().max() == 0 and model.head.weight.abs().max() < .1
    clips, samples = torch.randn(2, 3, 7, 25, 1), dict(label=torch.tensor([0, 2]), num_frames=torch.tensor([7, 4]))
    features = model(clips, samples)
    assert features.shape == (2, 8)
    logits = model(clips, samples, 'predict')
    assert torch.allclose(logits, features @ model.head.weight.T)
    assert torch.allclose(model(clips, samples, 'loss')['loss'], F.cross_entropy(logits, samples['label']))
    longer = torch.cat([clips, torch.full((2, 3, 5, 25, 1), 9.)], 2)
    assert torch.allclose(model(longer, samples, 'predict'), logits, atol=1e-6)


def test_refusals():
    model = SkeletonClassifier(MODELS.build(BACKBONE), 3)
    with pytest.raises(UserError, match='have no label'):
        model(torch.randn(2, 3, 7, 25, 1), {}, 'loss')
    with pytest.raises(UserError, match='remove data_preprocessor.views'):
        SkeletonClassifier(BACKBONE, 3, data_preprocessor=dict(
            type='SkeletonPreprocessor', layout='ntu25', views=dict(query=[])))


@pytest.mark.slow
def test_a_config_can_train_one(tiny_store, tmp_path):
    """Supervised training from scratch, the baseline for pre-training."""
    config = tmp_path / 'supervised.py'
    config.write_text(f'''
_base_ = ['{CONFIGS}/_base_/runtime.py', '{CONFIGS}/_base_/datasets/toy.py',
          '{CONFIGS}/_base_/schedules/adamw.py']
data = dict(store='{tiny_store}')
model = dict(type='SkeletonClassifier', num_classes=4, data_preprocessor=dict(type='SkeletonPreprocessor'),
             backbone=dict(type='TemporalConvNet', channels=(8, 8, 16, 16), num_persons=2))
train_dataloader = dict(batch_size=8)
train_cfg = dict(by_epoch=True, max_epochs=1)
''')
    model, info = build_from_checkpoint(train(str(config), str(tmp_path / 'run')))
    assert isinstance(model, SkeletonClassifier) and info['method'] == 'SkeletonClassifier'
    assert not info['not_loaded']



def test_features_of_persons_side_by_side():
    """In the order of the clip, with mean and maximum of each; and as many persons as the model was made for."""
    backbone = dict(type='SkeletonViT', layout='sbu15', channels=8, depth=1, heads=2)
    model = MODELS.build(dict(type='SkeletonClassifier', backbone=backbone, num_classes=3, concat_persons=2)).eval()
    x = torch.randn(4, 3, 8, 15, 2)
    x[1, ..., 1] = 0
    maps = model.backbone(x)
    torch.testing.assert_close(model(x), torch.cat([maps[:, 0].mean((2, 3)), maps[:, 1].mean((2, 3))], 1))
    assert model(x, mode='predict').shape == (4, 3) and not model(x)[1, 8:].any()
    both = MODELS.build(dict(type='FrozenEncoder', backbone=backbone, concat_persons=2, pooling='mean_max')).eval()
    both.backbone.load_state_dict(model.backbone.state_dict())
    assert both.feat_channels == both(x).shape[1] == 32
    torch.testing.assert_close(both(x)[:, 24:], maps[:, 1].amax((2, 3)))
    with pytest.raises(UserError, match='concat_persons is 2, but the feature map has 1 persons'):
        model(x[..., :1])
