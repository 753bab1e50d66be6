"""tools/analysis/convert_checkpoint.py with checkpoints that have official names and shapes (docs/methods.md 1.7)."""

import numpy as np
import pytest
import torch
from tool_calls import fails, run
from torch import nn

from mmskelssl.apis import FeatureExtractor
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.models.backbones import STGCN
from tools import extract_features as embed_tool
from tools import train as train_tool
from tools.analysis import convert_checkpoint as convert_tool


def network(layout='ntu25'):
    """A narrow ST-GCN with a head, whose statistics and importances differ from all defaults."""
    torch.manual_seed(0)
    net = STGCN(layout, hidden_channels=4, out_channels=16)
    head = nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 128))
    for name, value in net.state_dict().items():
        if name.endswith(('running_mean', 'bias')) or 'edge_importance' in name:
            value.add_(torch.randn_like(value) * .1)
        elif name.endswith('running_var'):
            value.copy_(torch.rand_like(value) + .5)
        elif value.dim() == 4:
            nn.init.kaiming_normal_(value)  # the initial 0.02 vanishes on the way to the output in eval mode
    return net.eval(), head


def official(net, head, form='linear', prefix=''):
    """A pretext checkpoint: query and key encoder, queue, pointer."""
    state = {name.replace('blocks.', 'st_gcn_networks.'): value for name, value in net.state_dict().items()}
    for name, value in head.state_dict().items():
        convolution = form == 'conv' and name.endswith('weight')  # a 1x1 convolution since December 2024
        state[f'fc.{name}'] = value[:, :, None, None] if convolution else value
    made = {f'{prefix}encoder_q.{name}': value for name, value in state.items()}
    made |= {f'{prefix}encoder_k.{name}': torch.zeros_like(value) for name, value in state.items()}
    return made | {f'{prefix}queue': torch.randn(128, 32), f'{prefix}queue_ptr': torch.zeros(1, dtype=torch.long)}


@pytest.mark.parametrize('kind', ['actclr', 'aimclr', 'skeletonclr'])
@pytest.mark.parametrize('form, prefix, wrapped', [('linear', '', False), ('conv', 'module.', True)])
def test_a_pretext_checkpoint(tmp_path, monkeypatch, kind, form, prefix, wrapped):
    net, head = network()
    state = official(net, head, form, prefix)
    torch.save(dict(state_dict=state, epoch=300) if wrapped else state, tmp_path / 'in.pt')
    run(monkeypatch, convert_tool, kind, tmp_path / 'in.pt', tmp_path / 'made' / 'out.pth')
    model, info = build_from_checkpoint(tmp_path / 'made' / 'out.pth')
    assert type(model).__name__.lower() == kind == info['method'].lower() and info['stream'] == 'joint'
    # The key encoder and the queue start anew. Everything else is loaded.
    assert {name.split('.')[0] for name in info['not_loaded']} == {'key_encoder', 'queue'}
    x = torch.randn(3, 3, 20, 25, 2)
    with torch.no_grad():
        features = net(x).mean((3, 4)).mean(1)
        torch.testing.assert_close(model.extract_feat(x), features, rtol=0, atol=0)
        torch.testing.assert_close(model.projector(features), head(features), rtol=0, atol=0)
    assert features.std(0).max() > .01


def test_a_linear_evaluation_has_a_classifier_and_no_head(tmp_path, monkeypatch, capsys, tiny_store):
    net, _ = network()
    state = official(net, nn.Sequential())
    state |= {'encoder_q.fc.weight': torch.randn(60, 16, 1, 1), 'encoder_q.fc.bias': torch.randn(60)}
    torch.save(state, tmp_path / 'in.pt')
    run(monkeypatch, convert_tool, 'actclr', tmp_path / 'in.pt', tmp_path / 'out.pth')
    model, _ = build_from_checkpoint(tmp_path / 'out.pth')
    x = torch.randn(2, 3, 12, 25, 2)
    with torch.no_grad():
        torch.testing.assert_close(model.extract_feat(x), net(x).mean((3, 4)).mean(1), rtol=0, atol=0)
    assert load_checkpoint(tmp_path / 'out.pth')['state_dict']['fc.weight'].shape == (60, 16)
    message = fails(monkeypatch, capsys, train_tool, 'configs/actclr_ntu60.py', '--init-from', tmp_path / 'out.pth',
                    '--work-dir', tmp_path / 'w', '--cfg-options', *options(tiny_store))
    assert 'out.pth' in message and 'projector.mlp.0.weight is missing' in message


def test_features_with_the_preprocessing_of_a_config(tmp_path, monkeypatch, capsys, tiny_store):
    """A converted checkpoint describes its model, and a config describes the preprocessing of its clips."""
    net, head = network()
    torch.save(official(net, head), tmp_path / 'in.pt')
    made = tmp_path / 'out.pth'
    run(monkeypatch, convert_tool, 'actclr', tmp_path / 'in.pt', made)
    assert 'embed --like CONFIG' in fails(monkeypatch, capsys, embed_tool, made, '--data', tiny_store)
    run(monkeypatch, embed_tool, made, '--data', tiny_store, '--split', 'test', '--like', 'actclr_ntu60')
    written = np.load(tmp_path / 'out_features_tiny_test.npz')
    extractor = FeatureExtractor(made, like='configs/actclr_ntu60.py')
    features = extractor.of_store(tiny_store, 'test')
    assert (features.feats == written['features']).all() and features.ids == written['ids'].tolist()
    store = SkeletonStore(tiny_store)
    own = extractor([store.keypoints(store.positions[name]) for name in features.ids])
    np.testing.assert_allclose(own, features.feats, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match='name a config with like'):
        FeatureExtractor(made)
    with pytest.raises(UserError, match='no such config'):
        FeatureExtractor(made, like='nonsense')


def options(store):
    return [f'data.store={store}', 'data.split=standard', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=16',
            'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
            'model.backbone.hidden_channels=4', 'model.backbone.out_channels=16', 'model.queue_size=64',
            'optim_wrapper.optimizer.lr=0', 'optim_wrapper.optimizer.weight_decay=0']


@pytest.mark.slow
def test_training_starts_from_it(tmp_path, monkeypatch, tiny_store):
    """With a learning rate of zero, the query and key encoders and heads of the run equal the official ones."""
    net, head = network()
    torch.save(official(net, head, 'conv'), tmp_path / 'in.pt')
    run(monkeypatch, convert_tool, 'aimclr', tmp_path / 'in.pt', tmp_path / 'out.pth')
    run(monkeypatch, train_tool, 'configs/actclr_ntu60.py', '--init-from', tmp_path / 'out.pth', '--work-dir',
        tmp_path / 'w', '--cfg-options', *options(tiny_store))
    assert not (tmp_path / 'w' / 'aimclr').exists()  # it replaces the first stage
    state = load_checkpoint(tmp_path / 'w' / 'actclr' / 'epoch_1.pth')['state_dict']
    for owner in ('', 'key_encoder.'):
        for name, value in net.named_parameters():
            torch.testing.assert_close(state[f'{owner}backbone.{name}'], value)
        torch.testing.assert_close(state[f'{owner}projector.mlp.3.weight'], head[2].weight)


def test_wrong_files_end_in_one_line(tmp_path, monkeypatch, capsys):
    def error(content, *args):
        torch.save(content, tmp_path / 'in.pt')
        message = fails(monkeypatch, capsys, convert_tool, 'actclr', tmp_path / 'in.pt', tmp_path / 'out.pth', *args)
        assert 'in.pt' in message and not (tmp_path / 'out.pth').exists()
        return message
    net, head = network()
    state = official(net, head)

    def without(*names):
        return {key: value for key, value in state.items() if not any(name in key for name in names)}
    no_encoder = 'no encoder_q.st_gcn_networks'
    assert no_encoder in error(dict(state_dict=net.state_dict()))  # our checkpoint, or that of another program
    assert no_encoder in error(without('networks.9'))
    assert 'backbone.blocks.4.residual.0.weight is missing' in error(without('encoder_q.st_gcn_networks.4.residual'))
    assert 'backbone.A is missing' in error(without('encoder_q.A'))
    assert 'instead of (60,)' in error(state, '--layout', 'kinect20')
    assert 'holds a list' in error([1, 2])
    assert 'no such checkpoint' in fails(monkeypatch, capsys, convert_tool, 'actclr', 'none.pt', 'out.pth')
    (tmp_path / 'text.pt').write_text('hello')
    message = fails(monkeypatch, capsys, convert_tool, 'actclr', tmp_path / 'text.pt', tmp_path / 'out.pth')
    assert 'not a readable checkpoint' in message


def test_published_weights_give_the_stored_features(reference, tmp_path, monkeypatch):
    arrays = np.load(reference / 'actclr_reference.npz', allow_pickle=False)
    state = {f'encoder_q.{key[3:]}': torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith('sd/')}
    torch.save(state, tmp_path / 'in.pt')
    run(monkeypatch, convert_tool, 'actclr', tmp_path / 'in.pt', tmp_path / 'out.pth')
    model, info = build_from_checkpoint(tmp_path / 'out.pth')
    assert not [name for name in info['not_loaded'] if name.startswith('backbone')]
    with torch.no_grad():
        features = model.double().extract_feat(torch.from_numpy(arrays['x']).double())
    expected = torch.from_numpy(arrays['out_fp64_feat'])
    assert float((features - expected).abs().max() / expected.abs().max()) < 1e-9
    torch.testing.assert_close(features.float(), torch.from_numpy(arrays['out_feat']), rtol=1e-4, atol=1e-4)
