"""Features, splits, rows and results.json, with a small encoder and an in-memory data set."""
import json

import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import FeatureBank, extract_features
from mmskelssl.evaluation.protocols import (
    SplitPair,
    default_pairs,
    evaluate,
    evaluate_encoder,
    measure_encoder,
    parse_pairs,
    tasks,
    without_foreign_classes,
)
from mmskelssl.evaluation.results import print_table, write_results

SPLITS = dict(train=range(40), test=range(40, 60), test_clean=range(40, 50),
              xsub_train=[i for i in range(60) if i // 6 % 2], xsub_test=[i for i in range(60) if not i // 6 % 2])


class Clips:
    """60 clips of 6 classes that differ in their mean coordinate."""
    num_classes = 6

    def __init__(self, rows=range(60), labelled=True):
        self.rows = np.array(list(rows))
        self.ids = [f'clip{i}' for i in self.rows]
        self.labels = self.rows % 6 if labelled else np.full(len(self.rows), -1)
        noise = np.random.default_rng(0).normal(size=(60, 3, 4, 5, 1)).astype('f4')
        angle = np.arange(60) % 6
        noise[:, 0] += 3 * np.cos(angle)[:, None, None, None]
        noise[:, 1] += 3 * np.sin(angle)[:, None, None, None]
        self.clips = noise

    def __getitems__(self, indices):
        rows = self.rows[indices]
        return dict(inputs=torch.from_numpy(self.clips[rows]),
                    data_samples=dict(index=torch.from_numpy(rows), num_frames=torch.full((len(rows),), 4)))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.data_preprocessor = BaseDataPreprocessor()
        self.dropout, self.frozen = nn.Dropout(0.5), nn.BatchNorm1d(3).eval()
        self.encoded = 0

    def extract_feat(self, inputs, num_frames=None):
        assert not torch.is_grad_enabled() and num_frames.tolist() == [4] * len(inputs)
        self.encoded += len(inputs)
        return self.dropout(inputs.mean((2, 3, 4)))


def test_features_do_not_depend_on_batches_and_put_the_mode_back():
    model = Encoder().train()
    model.frozen.eval()
    whole, pieces = (extract_features(model, Clips(), size, progress=False) for size in (256, 7))
    assert (whole.feats == pieces.feats).all() and whole.feats.dtype == np.float32
    assert whole.ids[3] == 'clip3' and whole.labels[3] == 3
    assert model.training and model.dropout.training and not model.frozen.training
    part = extract_features(model, Clips(), indices=[5, 3])
    assert (part.feats == whole.feats[[5, 3]]).all() and part.ids == ['clip5', 'clip3']


def test_non_finite_feature_names_the_sample():
    data = Clips()
    data.clips[17] = np.nan
    with pytest.raises(UserError, match='sample clip17'):
        extract_features(Encoder(), data)
    with pytest.raises(UserError, match='no samples'):
        extract_features(Encoder(), Clips([]))


def test_bank_encodes_each_clip_once():
    model = Encoder()
    bank = FeatureBank(model, lambda split: Clips(SPLITS[split]))
    for split, rows in SPLITS.items():
        assert bank[split].ids == [f'clip{i}' for i in rows]
        assert (bank[split].feats == extract_features(Encoder(), Clips(rows)).feats).all()
    assert model.encoded == 60


def test_bank_takes_evenly_spaced_clips():
    bank = FeatureBank(Encoder(), lambda split: Clips(), max_samples=dict(train=4))
    assert bank['train'].ids == ['clip0', 'clip15', 'clip30', 'clip45'] and len(bank['test']) == 60


def test_default_pairs():
    pairs = [(p.name, p.train, p.test) for p in default_pairs(SPLITS)]
    assert pairs == [('test', 'train', 'test'), ('test_clean', 'train', 'test_clean'),
                     ('xsub', 'xsub_train', 'xsub_test')]
    same = dict(train=[1], test=[2], xsub_train=[1], xsub_test=[2])
    assert len(default_pairs(same)) == 1
    with pytest.raises(UserError, match='no pair of splits'):
        default_pairs(dict(train=[1]))


def test_classes_without_training_clips(capsys):
    """A test of other classes only is left out with a note, except for clustering, which learns from no labels."""
    splits = dict(few=[i for i in range(30) if i % 6 < 3], same=[i for i in range(30, 60) if i % 6 in (2, 3)],
                  other=[i for i in range(60) if i % 6 > 3])
    bank = FeatureBank(Encoder(), lambda split: Clips(splits[split]), progress=False)
    pairs = [SplitPair('same', 'few', 'same'), SplitPair('other', 'few', 'other')]
    tests = dict(same=Clips(splits['same']), other=Clips(splits['other']))
    task, *_ = tasks(bank, pairs, 0)[0]
    assert set(without_foreign_classes(task, 'cluster').tests) == set(tests) and not capsys.readouterr().out
    assert set(without_foreign_classes(task, 'knn').tests) == {'same'}
    assert capsys.readouterr().out.splitlines() == [
        'note: knn: 1 of 2 classes of same have no training clip; their 5 clips count as wrong',
        'note: knn: 2 of 2 classes of other have no training clip; it is not measured']
    made = measure_encoder(bank, pairs, ['linear'], {}, dict(linear=['logreg']))
    assert [m.row['split'] for m in made] == ['same']
    with pytest.raises(UserError, match='nothing to measure: no class of other has a training clip'):
        measure_encoder(bank, pairs[1:], ['linear'], {}, dict(linear=['logreg']))
    with pytest.raises(UserError, match='nothing to measure: no class of test has a training clip'):
        evaluate(bank['few'], bank['other'], 'knn')


def test_named_pairs():
    assert parse_pairs(['train:xsub_test'], SPLITS)[0].test == 'xsub_test'
    with pytest.raises(UserError, match="no split 'val'; the store has train, test"):
        parse_pairs(['train:val'], SPLITS)


def test_rows_and_file(tmp_path, capsys):
    bank = FeatureBank(Encoder(), lambda split: Clips(SPLITS[split]))
    identity = dict(encoder='Fake', method='Fake', data='clips', stream='joint')
    rows = evaluate_encoder(bank, default_pairs(SPLITS), ('knn', 'linear'), identity)
    assert len(rows) == 3 * 4
    keys = {'encoder', 'method', 'data', 'split', 'stream', 'protocol', 'recipe', 'label_fraction', 'seed', 'top1',
            'top5', 'mean_class', 'ci95', 'seconds', 'num_train', 'num_test', 'feature_dim'}
    assert all(keys <= set(row) for row in rows)
    assert {(row['protocol'], row['recipe']) for row in rows} == {
        ('knn', '1nn'), ('knn', '20nn'), ('linear', 'logreg'), ('linear', 'paper')}
    # The paper's learning rate suits 256 small features, not these.
    assert all(row['top1'] > 60 for row in rows if row['recipe'] != 'paper')
    assert rows[0]['top5'] is None and rows[1]['top5'] > 60
    rows[0]['note'] = float('nan')
    write_results(str(tmp_path / 'out'), rows, 'c', 'd', 'cmd')
    content = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert content['results'][0]['note'] is None and content['data_hash'] == 'd' and content['versions']['torch']
    assert [f.name for f in (tmp_path / 'out').iterdir()] == ['results.json']
    print_table(rows)
    assert f'n={rows[0]["num_test"]}' in (out := capsys.readouterr().out)
    low, high = rows[0]['ci95']
    assert f'{rows[0]["top1"]:.1f} ({low:.1f}–{high:.1f})' in out


@pytest.mark.parametrize('train, test, labelled, message', [
    (range(40), range(39, 60), True, 'sample clip39 is in the training and the test split'),
    (range(40), range(40, 60), False, 'sample clip0 of the training split has no label')])
def test_leaks_and_missing_labels(train, test, labelled, message):
    feats = [extract_features(Encoder(), Clips(rows, labelled)) for rows in (train, test)]
    with pytest.raises(UserError, match=message):
        evaluate(*feats, 'knn')


@pytest.mark.parametrize('protocol', ['knn', 'linear', 'retrieval'])
def test_a_split_is_not_tested_on_itself(protocol):
    """The nearest neighbour of each clip would be the clip, and the result 100 %."""
    bank = FeatureBank(Encoder(), lambda split: Clips(SPLITS[split]), progress=False)
    with pytest.raises(UserError, match=r'sample clip40 is in the training and the test split \(20 are in both\)'):
        measure_encoder(bank, [SplitPair('test', 'test', 'test')], [protocol], {})


def test_clusters_may_be_those_of_the_training_split():
    """They learn nothing from its labels."""
    bank = FeatureBank(Encoder(), lambda split: Clips(SPLITS[split]), progress=False)
    same, other = (measure_encoder(bank, [SplitPair('test', train, 'test')], ['cluster'], {})[0].row
                   for train in ('test', 'train'))
    assert same['top1'] == other['top1'] and same['num_test'] == 20


def test_more_neighbours_than_clips_are_said(capsys):
    train, test = (extract_features(Encoder(), Clips(rows)) for rows in (range(12), range(40, 60)))
    evaluate(train, test, 'knn', ['1nn', '20nn', '1nn-bank:k=9,size=6'])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith('note')] == [
        'note: knn 20nn: there are only 12 training clips, and all of them vote instead of 20',
        'note: knn 1nn-bank:k=9,size=6: there are only 6 training clips, and all of them vote instead of 9']


def test_a_part_of_the_bank(capsys):
    train, test = (extract_features(Encoder(), Clips(rows)) for rows in (range(40), range(40, 60)))
    rows = evaluate(train, test, 'knn', ['1nn', '1nn-bank', '1nn-bank:size=12,draws=3', '1nn-bank:k=20'], seed=1)
    whole, all_of_it, part, votes = rows
    assert all_of_it['draws'] == [whole['top1']] * 5 and all_of_it['draws_std'] == 0 and all_of_it['bank'] == 40
    assert part['bank'] == part['num_train'] == 12 and part['settings'] == 'k=1,size=12,draws=3'
    assert part['top1'] == part['draws'][0] and len(set(part['draws'])) > 1
    assert part['draws_std'] == pytest.approx(np.std(part['draws'])) and part['recipe'] == '1nn-bank:size=12,draws=3'
    assert f'+- {part["draws_std"]:.1f} % over 3 draws of 12 of 40 training clips' in capsys.readouterr().out
    assert votes['top1'] == evaluate(train, test, 'knn', ['20nn'])[0]['top1']
    again = [evaluate(train, test, 'knn', ['1nn-bank:size=12,draws=3'], seed=seed)[0]['draws'] for seed in (1, 2)]
    assert again[0] == part['draws'] != again[1]
    with pytest.raises(UserError, match='size is 0; it must be positive'):
        evaluate(train, test, 'knn', ['1nn-bank:size=0'])


def test_unseen_classes_are_counted():
    train = [i for i in range(40) if i % 6 != 5]
    feats = [extract_features(Encoder(), Clips(rows)) for rows in (train, range(40, 60))]
    for protocol in ('knn', 'linear'):
        assert all(row['unseen_classes'] == 1 for row in evaluate(*feats, protocol))
    with pytest.raises(UserError, match='unknown KNN recipe'):
        evaluate(*feats, 'knn', ['7nn'])
