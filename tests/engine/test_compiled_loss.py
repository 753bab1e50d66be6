"""The whole loss as one compiled graph gives the same training as without compilation."""
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from mmskelssl.engine.compiling import compile_loss
from mmskelssl.models import Progress

sys.path.insert(0, str(Path(__file__).parents[1] / 'models' / 'methods'))
from contract_methods import batch, build  # noqa: E402

STEPS = 3  # the first is not compiled


def small(method: str, **options):
    torch.manual_seed(0)
    return build(method, dropout=0., width=2, **options).double()


def train(model) -> list[float]:
    optimizer, losses = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], .1), []
    for i in range(STEPS):
        model.set_progress(Progress(i, i, STEPS))
        data = batch(4, seed=i)
        views = model.data_preprocessor(dict(data, inputs=data['inputs'].double()), True)
        total, _ = model.parse_losses(model(**views, mode='loss'))
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total.item())
    return losses


@pytest.mark.slow
@pytest.mark.parametrize('method, options', [
    ('SimCLR', dict(kind='TemporalConvNet')),
    ('AimCLR', dict(kind='TemporalConvNet', in_batch=True, drop_keep=None, momentum=dict(final_momentum=1.))),
    ('ActCLR', dict(contrast_weight=1., topk=5)), ('MAMP', {}),
    ('MAMP', dict(decoder='cross', decoder_span=2)), ('SLiM', {})])
def test_one_graph_without_breaks(method, options):
    torch._dynamo.reset()
    counters.clear()
    plain, compiled = small(method, **options), small(method, **options)
    compile_loss(compiled, backend='aot_eager')
    assert train(compiled) == pytest.approx(train(plain), rel=1e-9)
    assert not counters['graph_break'] and counters['stats']['unique_graphs'] == 1
    for (name, value), other in zip(compiled.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-7, atol=1e-9, msg=name)  # queue and key encoder included
