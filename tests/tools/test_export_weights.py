"""Exported weights are those of the encoder and come with its description."""
import json

import pytest
import torch

from mmskelssl.commands.export import export_weights
from mmskelssl.errors import UserError


@pytest.fixture
def checkpoint(tmp_path):
    state = {'backbone.a': torch.randn(3, 4).t(), 'backbone.steps': torch.tensor(3), 'projector.a': torch.ones(2)}
    torch.save(dict(state_dict=state, meta=dict(mmskelssl=dict(model='{}', epoch=3))), tmp_path / 'a.pth')
    return tmp_path / 'a.pth', state


def test_round_trip(checkpoint, tmp_path):
    safetensors = pytest.importorskip('safetensors', reason='safetensors is not installed')
    assert export_weights(checkpoint[0], str(tmp_path / 'a.safetensors')) == 2
    with safetensors.safe_open(tmp_path / 'a.safetensors', 'pt') as file:
        assert json.loads(file.metadata()['mmskelssl']) == dict(model='{}', epoch=3)
        assert sorted(file.keys()) == ['a', 'steps']
        assert torch.equal(file.get_tensor('a'), checkpoint[1]['backbone.a'])


def test_mistakes_are_named(checkpoint, tmp_path):
    pytest.importorskip('safetensors', reason='safetensors is not installed')
    with pytest.raises(UserError, match="no tensor begins with 'encoder.'; there are backbone, projector"):
        export_weights(checkpoint[0], str(tmp_path / 'a.safetensors'), 'encoder.')
