"""Fine-tuning on the tiny store: every backbone, clips of any length, and the schedule of each recipe."""
import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmskelssl.datasets.skeleton_dataset import SkeletonDataset
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import FeatureBank
from mmskelssl.evaluation.finetuning import _freeze, classify, finetune
from mmskelssl.evaluation.linear import linear_probe
from mmskelssl.evaluation.protocols import SplitPair, evaluate_encoder, measure_encoder
from mmskelssl.evaluation.recipes import FINETUNE, SEMI, FinetuneRecipe
from mmskelssl.registry import MODELS

KINDS = dict(STGCN=dict(hidden_channels=8, out_channels=32, dropout=0.),
             BiGRU=dict(hidden_channels=16, num_persons=2),
             TemporalConvNet=dict(channels=(16, 16, 32, 32), num_persons=2))
VIEWS = dict(first=[dict(type='Shear')], second=[])
QUICK = FinetuneRecipe(lr=2e-3, head_lr=1e-2, epochs=12, batch_size=8, optimizer='adamw')


def encoder(kind, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='SimCLR', backbone=dict(type=kind, layout='ntu25', **KINDS[kind]),
                             data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', views=VIEWS),
                             **options))


def dataset(store, split, padded=False):
    length = dict(type='PadFrames', frames=40) if padded else dict(type='ResizeFrames', frames=16)
    return SkeletonDataset(store, split, [dict(type='SelectPersons', max_persons=2),
                                          dict(type='AlignSequence', turn=False), length, dict(type='PackSkeleton')])


@pytest.mark.slow
@pytest.mark.parametrize('kind, padded', [('STGCN', False), ('TemporalConvNet', False), ('BiGRU', False),
                                          ('BiGRU', True)])
def test_it_learns_its_training_clips_and_leaves_the_encoder_alone(tiny_store, kind, padded):
    model, data = encoder(kind, pooling='mean_max'), dataset(tiny_store, 'train', padded)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    rows = np.arange(len(data))
    recipe = replace(QUICK, epochs=30) if kind == 'STGCN' else QUICK
    classifier = finetune(model, data, rows, data.labels, recipe, 4, progress=False)
    assert (classify(classifier, data, rows).argmax(1) == data.labels).mean() > .6  # chance is .25
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    stuck = [name for name, value in classifier.backbone.named_parameters()
             if torch.equal(value, before[f'backbone.{name}'])]
    assert not stuck


def test_padding_changes_no_score(tiny_store):
    model = encoder('BiGRU')
    short, long = (dataset(tiny_store, 'train', True) for _ in range(2))
    long.clips = np.concatenate([long.clips, np.full_like(long.clips, 7.)], 2)
    scores = [classify(finetune(model, data, range(8), data.labels[:8], QUICK, 4, progress=False), data, range(8, 16))
              for data in (short, long)]
    np.testing.assert_allclose(*scores, atol=1e-3)


def test_the_seed_decides(tiny_store):
    model, data = encoder('TemporalConvNet'), dataset(tiny_store, 'train')
    runs = [classify(finetune(model, data, range(16), data.labels[:16], QUICK, 4, seed, progress=False), data, [20])
            for seed in (0, 0, 1)]
    assert (runs[0] == runs[1]).all() and (runs[0] != runs[2]).any()


def test_frozen_norms_keep_their_statistics(tiny_store):
    model, data = encoder('STGCN'), dataset(tiny_store, 'train')
    for frozen in (True, False):
        recipe = FinetuneRecipe(lr=.01, epochs=1, batch_size=8, frozen_norm=frozen)
        tuned = finetune(model, data, range(16), data.labels[:16], recipe, 4, progress=False).backbone
        same = [torch.equal(a, b) for (name, a), b in zip(tuned.named_buffers(), model.backbone.buffers(), strict=True)
                if 'running_mean' in name]
        assert same and (all(same) if frozen else not any(same))


def test_frozen_recurrences_lose_their_dropout_alone():
    """cuDNN has no backward pass for a GRU in eval mode."""
    model = encoder('BiGRU')
    model.backbone.gru.dropout = .5
    _freeze(model)
    assert model.backbone.gru.training and model.backbone.gru.dropout == 0. and not model.backbone.training


def test_paper_recipes_are_frozen():
    """docs/methods.md 1.5, 2.5 and 3.5."""
    actclr, skeattn, crrl = (FINETUNE[f'paper-{name}'] for name in ('actclr', 'skeattnclr', 'crrl'))
    assert (actclr.lr, actclr.batch_size, actclr.epochs) == (.1, 128, 80)
    assert actclr.nesterov and actclr.weight_decay == 1e-4
    assert (skeattn.lr, skeattn.epochs, skeattn.frozen_norm, skeattn.weight_decay) == (.008, 150, True, 0)
    assert (crrl.lr, crrl.head_lr, crrl.batch_size, crrl.epochs) == (.01, .1, 16, 85)
    # Epochs counted from 0 here. ActCLR's code counts from 1 and lowers the rate already in epoch 10.
    rates = [actclr.factor(epoch * 7 + 3, 7, 80) for epoch in (0, 8, 9, 48, 49, 79)]
    assert rates == pytest.approx([1, 1, .1, .1, .01, .01])
    assert skeattn.factor(59 * 7 + 6, 7, 150) == 1 and skeattn.factor(60 * 7, 7, 150) == .1
    assert actclr.drop_last and skeattn.drop_last and not crrl.drop_last
    assert (actclr.head_std, skeattn.head_std, crrl.head_std) == (.02, .02, .01)
    assert crrl.factor(34 * 5, 5, 85) == .5 and crrl.factor(84 * 5, 5, 85) == .5 ** 5
    cosine = [FINETUNE['small'].factor(step, 10, 20) for step in range(200)]
    assert cosine[0] < .2 and max(cosine) > .98 and cosine[-1] < .001 and cosine[100] == pytest.approx(.5)


def test_recipes_of_single_cells():
    steps = {name: FINETUNE[f'paper-actclr{name}'].steps for name in (
        '', '-ntu60-xsub-bone', '-ntu60-xsub-motion', '-ntu120', '-ntu120-xset-joint')}
    assert [*steps.values()] == [(10, 50), (30, 50), (30, 50), (30, 50), (10, 30, 50)]
    rates = [FINETUNE[f'paper-skeattnclr{name}'].lr for name in (
        '', '-ntu60-xview', '-ntu60-bone', '-ntu60-motion', '-ntu120')]
    assert rates == [.008, .005, .005, .003, .01]
    for method in ('actclr', 'skeattnclr'):  # only these fields differ
        for name, recipe in FINETUNE.items():
            if name.startswith(f'paper-{method}-'):
                plain = FINETUNE[f'paper-{method}']
                assert replace(recipe, steps=plain.steps, lr=plain.lr) == plain


def test_recipes_of_single_cells_with_few_labels():
    cells = {name.removeprefix('paper-skeattnclr-'): (recipe.lr, *recipe.steps) for name, recipe in SEMI.items()
             if name.startswith('paper-skeattnclr-')}
    assert len(cells) == 12 and cells['ntu60-xview-1'] == (.05, 10, 60, 110)
    assert cells['ntu60-xsub-bone-1'] == (.02, 13, 80, 120) and cells['ntu60-motion-10'] == (.003, 60, 100)
    plain = SEMI['paper-skeattnclr']
    assert all(replace(SEMI[f'paper-skeattnclr-{cell}'], lr=plain.lr, steps=plain.steps) == plain for cell in cells)


def test_crrl_as_released_raises_the_rate_of_the_encoder():
    ours, released = FINETUNE['paper-crrl'], FINETUNE['paper-crrl-released']
    epochs = (0, 14, 15, 34, 35)
    for recipe, expected in ((ours, [.01, .01, .005, .005, .0025]), (released, [.01, .01, .05, .05, .025])):
        rates = [recipe.lr * recipe.encoder_factor(epoch * 5, 5, 85) for epoch in epochs]
        assert rates == pytest.approx(expected)
    heads = [released.head_lr * released.factor(epoch * 5, 5, 85) for epoch in epochs]
    assert heads == pytest.approx([.1, .1, .05, .05, .025])


def test_the_last_partial_batch_is_left_out(tiny_store, monkeypatch):
    """The last 4 of 20 clips in batches of 8 are dropped, but not if there are fewer clips than a batch."""
    model, data = encoder('TemporalConvNet'), dataset(tiny_store, 'train')
    for size, drop, expected in ((8, True, [8, 8]), (8, False, [8, 8, 4]), (32, True, [20])):
        sizes, read = [], data.__getitems__
        monkeypatch.setattr(data, '__getitems__', lambda rows, sizes=sizes, read=read: (
            sizes.append(len(rows)), read(rows))[1])
        finetune(model, data, range(20), data.labels[:20], FinetuneRecipe(lr=.01, epochs=1, batch_size=size,
                                                                          drop_last=drop), 4, progress=False)
        assert sizes == expected
        monkeypatch.undo()


def test_a_loss_that_explodes_is_said(tiny_store):
    data = dataset(tiny_store, 'train')
    with pytest.raises(UserError, match='the loss is not finite in epoch'):
        finetune(encoder('BiGRU'), data, range(16), data.labels[:16], FinetuneRecipe(lr=1e38, epochs=3), 4,
                 progress=False)
    with pytest.raises(UserError, match='all 1 training clips have one class'):
        finetune(encoder('BiGRU'), data, [0], data.labels[:1], QUICK, 4, progress=False)


@pytest.fixture
def quick(monkeypatch):
    for recipes in (FINETUNE, SEMI):
        monkeypatch.setitem(recipes._entries, 'small', QUICK)


def test_rows_of_fine_tuning_and_few_labels(tiny_store, quick):
    bank = FeatureBank(encoder('TemporalConvNet'), lambda split: dataset(tiny_store, split), progress=False)
    pairs = [SplitPair('test', 'train', 'test')]
    made = measure_encoder(bank, pairs, ['finetune', 'semi'], dict(encoder='x', data='tiny', stream='joint'))
    assert [m.row['label_fraction'] for m in made] == [1., .01, .05, .1]
    assert [m.row['num_train'] for m in made] == [32, 4, 4, 4] and {m.row['num_test'] for m in made} == {16}
    labels = dict(zip(bank['train'].ids, bank['train'].labels, strict=True))
    for m in made[1:]:
        assert sorted(labels[name] for name in m.outcome.train_ids) == [0, 1, 2, 3]
    assert made[0].scores.shape == (16, 4)
    again = evaluate_encoder(bank, pairs, ['semi'], dict(encoder='x', data='tiny', stream='joint'))
    assert [row['top1'] for row in again] == [m.row['top1'] for m in made[1:]]


def test_few_labels_on_frozen_features(tiny_store):
    """The recipe ``frozen`` is the probe ``logreg`` on the clips that fine-tuning would use, and trains no encoder."""
    model = encoder('TemporalConvNet')
    before = [value.clone() for value in model.parameters()]
    bank = FeatureBank(model, lambda split: dataset(tiny_store, split), progress=False)
    made = measure_encoder(bank, [SplitPair('test', 'train', 'test')], ['semi'],
                           dict(encoder='x', data='tiny', stream='joint'), recipes=dict(semi=['frozen']))
    assert [(m.row['recipe'], m.row['label_fraction'], m.row['num_train']) for m in made] == [
        ('frozen', .01, 4), ('frozen', .05, 4), ('frozen', .1, 4)]
    rows = [bank['train'].ids.index(name) for name in made[-1].outcome.train_ids]
    few = bank['train'].take(np.array(rows))
    expected = linear_probe(few.feats, few.labels, bank['test'].feats, 'logreg', num_classes=4)
    assert np.allclose(made[-1].outcome.scores['test'], expected)
    assert all((a == b).all() for a, b in zip(before, model.parameters(), strict=True))
