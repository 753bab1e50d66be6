"""Methods on 2D clips with the scores of the joints as the last channel."""
import pytest
import torch
from contract_methods import METHODS, VIEWS, WEAK, batch, build, step

from mmskelssl.errors import UserError
from mmskelssl.registry import MODELS

TAKING = [name for name in METHODS if MODELS.get(name).takes_scores]
STILL = [dict(type='Shear'), dict(type='TemporalCrop'), dict(type='GaussianBlur')]


def preprocessor(method, stream='joint', **views):
    views = views or {name: VIEWS.get(name, WEAK) for name in MODELS.get(method).view_names}
    return dict(type='SkeletonPreprocessor', layout='coco17', stream=stream, scores=True, views=views)


def test_what_reconstructs_or_differentiates_takes_none():
    assert {*METHODS} - {*TAKING} == {'CRRL', 'CRRLMotion', 'CRRLReconstruct', 'MAMP', 'SLiM'}


@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
@pytest.mark.parametrize('method', TAKING)
def test_a_step(method, stream):
    torch.manual_seed(0)
    model = build(method, 'coco17', data_preprocessor=preprocessor(method, stream))
    loss, _ = step(model, batch(4, 'coco17'))
    assert loss == loss


@pytest.mark.parametrize('method', [name for name in METHODS if name not in TAKING])
def test_others_refuse(method):
    with pytest.raises(UserError, match=f'{method} works on coordinates only: leave out data.scores'):
        build(method, 'coco17', data_preprocessor=preprocessor(method, **dict.fromkeys(
            MODELS.get(method).view_names, [])))


@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_actclr_never_computes_with_scores(stream):
    """If every score is 0.5, the encoder never sees another: style transfer, mixing and blending keep it."""
    views = dict.fromkeys(('strong', 'normal', 'weak', 'key'), STILL)
    model = build('ActCLR', 'coco17', data_preprocessor=preprocessor('ActCLR', stream, **views))
    data, seen = batch(4, 'coco17'), []
    data['inputs'][:, -1] = .5
    for encoder in (model.backbone, model.key_encoder.backbone):
        encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0][:, -1]))
    step(model, data)
    assert len(seen) == 7
    for scores in seen:
        torch.testing.assert_close(scores, torch.full_like(scores, .5))
