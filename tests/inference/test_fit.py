"""Classifiers that are fitted, calibrated, measured and saved."""
import json

import numpy as np
import pytest
from sklearn.metrics import log_loss

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier
from mmskelssl.cli import main
from mmskelssl.datasets.skeleton_dataset import about_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.evaluation.calibration import calibration_error, fit_temperature, reject_threshold, softmax
from mmskelssl.evaluation.cross_validation import choose_c
from mmskelssl.evaluation.linear import fit_layer, linear_probe
from mmskelssl.evaluation.recipes import LINEAR
from mmskelssl.evaluation.splits import held_out_parts
from mmskelssl.inference.change import agreed_fps
from mmskelssl.inference.clips import clips_of_store
from mmskelssl.inference.fit import fit_classifier
from tests.conftest import StoreWriter


@pytest.fixture(scope='module')
def extractor(encoder_checkpoint):
    return FeatureExtractor(encoder_checkpoint, 'cpu')


@pytest.fixture(scope='module')
def classifier(extractor, tiny_kinect_store):
    return fit_classifier([extractor], tiny_kinect_store, reject=.1, fps=30)


def predictions(classifier, store, split):
    return classifier(clips_of_store(SkeletonStore(store), split))


def test_it_learns_and_says_so(classifier, tiny_kinect_store):
    store, report = SkeletonStore(tiny_kinect_store), classifier.config['report']
    made = predictions(classifier, tiny_kinect_store, 'test')
    truth = store.labels[store.split('test')]
    accuracy = 100 * np.mean(made.probabilities.argmax(1) == truth)
    row, = report['tests']
    assert row['split'] == 'test' and row['top1'] == pytest.approx(accuracy) and row['num_test'] == 16
    assert row['ece'] == pytest.approx(calibration_error(made.probabilities, truth), abs=1e-3)
    assert row['rejected'] == pytest.approx(100 * made.unknown.mean())
    train = predictions(classifier, tiny_kinect_store, 'train')
    assert np.mean(train.probabilities.argmax(1) == store.labels[store.split('train')]) > .7  # chance .25
    np.testing.assert_allclose(made.probabilities.sum(1), 1, rtol=1e-5)


def test_the_scores_are_those_of_the_probe(classifier, extractor, tiny_kinect_store):
    train, test = (extractor.of_store(tiny_kinect_store, split) for split in ('train', 'test'))
    expected = linear_probe(train.feats, train.labels, test.feats, 'logreg-cv', subjects=train.subjects)
    report = classifier.config['report']
    assert report['recipe'] == 'logreg-cv'  # the store is not one of the benchmarks
    assert report['C'] == [choose_c(LINEAR['logreg-cv'], train.feats, train.labels, train.subjects).C]
    made = classifier.scores(clips_of_store(SkeletonStore(tiny_kinect_store), 'test'))
    np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-3)


def test_what_was_saved_comes_back(classifier, tiny_kinect_store, tmp_path):
    classifier.save_pretrained(tmp_path / 'made')
    loaded = SkeletonClassifier.from_pretrained(tmp_path / 'made', 'cpu')
    before, after = (predictions(one, tiny_kinect_store, 'all') for one in (classifier, loaded))
    assert (before.probabilities == after.probabilities).all() and before.names == after.names
    assert (loaded.classes, loaded.fps, loaded.threshold) == (classifier.classes, 30, classifier.threshold)
    loaded.save_pretrained(tmp_path / 'again')
    for name in ('config.json', 'README.md', 'model.safetensors'):
        assert (tmp_path / 'again' / name).read_bytes() == (tmp_path / 'made' / name).read_bytes()
    clip = np.array(SkeletonStore(tiny_kinect_store).keypoints(3))
    alone = loaded([clip[0], clip])
    np.testing.assert_allclose(alone.probabilities[0], alone.probabilities[1])
    assert alone.ids == ['clip 0', 'clip 1']


def test_the_held_out_clips_are_rarely_refused(classifier):
    held = classifier.config['report']['held_out']
    assert held['num_test'] == 32 and held['folds'] == 5 and 0 < held['rejected'] <= 10 and classifier.threshold > 0
    assert held['ece'] != held['ece_before']


def test_parts_to_hold_out():
    labels, subjects = np.arange(60) % 4, np.arange(60) // 10
    parts, by = held_out_parts(labels, subjects, 5, 0)
    assert by == 'subjects' and sorted(np.concatenate(parts)) == list(range(60)) and len(parts) == 5
    assert all(not set(subjects[a]) & set(subjects[b]) for a in parts for b in parts if a is not b)
    assert not all((a == b).all() for a, b in zip(parts, held_out_parts(labels, subjects, 5, 1)[0], strict=True)
                   if len(a) == len(b))
    rare = labels.copy()
    rare[:3] = 7  # a class of one subject is never held out
    assert sorted(np.concatenate(held_out_parts(rare, subjects, 5, 0)[0])) == list(range(3, 60))
    for unknown in (np.full(60, -1), subjects % 4, np.where(subjects == 2, -1, subjects)):
        parts, by = held_out_parts(labels, unknown, 5, 0)
        assert by == 'clips' and sorted(np.concatenate(parts)) == list(range(60))
        assert all(np.bincount(labels[part]).tolist() == [3, 3, 3, 3] for part in parts)


def test_the_card(classifier):
    report = classifier.config['report']
    row = report['tests'][0]
    low, high = row['ci95']
    assert f'| test | {row["top1"]:.1f} ({low:.1f}–{high:.1f}) |' in classifier.card
    assert f'{row["ece_before"]:.1f} → {row["ece"]:.1f}' in classifier.card and '| 16 |' in classifier.card
    assert f'mean AUROC of {report["unknown"]["auroc"]:.3f}' in classifier.card and report['unknown']['classes'] == 4
    assert report['data_hash'] in classifier.card and 'Recipe: logreg' in classifier.card
    assert 'refuses at most 10 % of the held-out clips' in classifier.card and 'not stated' in classifier.card
    assert 'class 0, class 1, class 2, class 3' in classifier.card and '30 frames per second' in classifier.card


def test_several_streams(encoder_checkpoint, extractor, tiny_kinect_store, tmp_path):
    other = FeatureExtractor(encoder_checkpoint, 'cpu')
    other.model.data_preprocessor.stream = 'motion'
    other.info = json.loads(json.dumps(other.info))
    other.info['model']['data_preprocessor']['stream'] = 'motion'
    both = fit_classifier([extractor, other], tiny_kinect_store, left_out=0)
    each = [fit_classifier([one], tiny_kinect_store, left_out=0) for one in (extractor, other)]
    clips = clips_of_store(SkeletonStore(tiny_kinect_store), 'test')
    np.testing.assert_allclose(both.scores(clips), np.mean([one.scores(clips) for one in each], 0), atol=1e-5)
    assert np.abs(each[0].scores(clips) - each[1].scores(clips)).max() > .01
    both.save_pretrained(tmp_path / 'both')
    loaded = SkeletonClassifier.from_pretrained(tmp_path / 'both', 'cpu')
    assert (loaded(clips).probabilities == both(clips).probabilities).all()
    assert '2 encoders' in both.card and 'Unknown movements: not measured' in both.card


@pytest.mark.slow
def test_fine_tuning(extractor, tiny_kinect_store, tmp_path):
    made = fit_classifier([extractor], tiny_kinect_store, 'finetune:small', seed=1)
    clips = clips_of_store(SkeletonStore(tiny_kinect_store), 'train')
    truth = SkeletonStore(tiny_kinect_store).labels[SkeletonStore(tiny_kinect_store).split('train')]
    assert np.mean(made(clips).probabilities.argmax(1) == truth) > .9
    tuned, frozen = (model.backbone.state_dict() for model in (made.members[0].model, extractor.model))
    assert any((tuned[name] != frozen[name]).any() for name in tuned)
    made.save_pretrained(tmp_path / 'tuned')
    loaded = SkeletonClassifier.from_pretrained(tmp_path / 'tuned', 'cpu')
    np.testing.assert_allclose(loaded(clips).probabilities, made(clips).probabilities, atol=1e-6)
    assert made.config['report']['held_out']['folds'] == 1 and 'fine-tuned' in made.card


def test_clips_of_another_frame_rate_are_resampled(encoder_checkpoint, tiny_kinect_store):
    """The store does not state its rate, and the encoder was trained on another one."""
    encoder = FeatureExtractor(encoder_checkpoint, 'cpu', fps=30)
    made = fit_classifier([encoder], tiny_kinect_store, left_out=0, fps=15)
    train, test = (encoder.of_store(tiny_kinect_store, split, fps=15) for split in ('train', 'test'))
    assert np.abs(test.feats - encoder.of_store(tiny_kinect_store, 'test').feats).max() > 1e-4
    store = SkeletonStore(tiny_kinect_store)
    scores = made.scores(clips_of_store(store, 'test', fps=15))
    expected = linear_probe(train.feats, train.labels, test.feats, 'logreg-cv',
                            subjects=store.subjects[store.split('train')])
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)
    assert made.fps == 30


def test_a_frame_rate_that_contradicts_is_refused(extractor, tiny_kinect_store, tmp_path, monkeypatch):
    store = uneven(tmp_path / 'thirty', tiny_kinect_store, (3, 3), ('walk', 'sit'), fps=30)
    with pytest.raises(UserError, match='thirty states 30 frames per second, and fps is 25: leave out fps'):
        fit_classifier([extractor], store, fps=25)
    assert [agreed_fps(*rates, 'a') for rates in ((30, None), (None, 25), (30, 29.97), (None, None))] == [
        30, 25, 30, None]
    monkeypatch.setattr('mmskelssl.inference.extractor.about_data', lambda dataset: {**about_data(dataset), 'fps': 30})
    assert FeatureExtractor(extractor.checkpoint, 'cpu', fps=30).fps == 30
    with pytest.raises(UserError, match='epoch_1.pth states 30 frames per second, and fps is 60'):
        FeatureExtractor(extractor.checkpoint, 'cpu', fps=60)


def uneven(path, tiny_kinect_store, counts=(6, 5, 1, 0, 4), names=('walk', 'sit', 'rare', 'none', 'fall'), fps=None):
    """A store with these numbers of clips of each class in ``train``, and two of the first two classes in ``test``."""
    source = SkeletonStore(tiny_kinect_store)
    with StoreWriter(path, 'kinect20', classes=list(names), fps=fps) as writer:
        splits: dict = dict(train=[], test=[])
        for label, count in enumerate(counts):
            for i in range(count + 1 if label in (0, 3) else count):
                name = f'{label}-{i}'
                writer.add(name, source.keypoints(i * 5 + label), label)
                splits['test' if i >= count else 'train'].append(name)
        for split, ids in splits.items():
            writer.set_split(split, ids)
    return str(path)


def test_rare_and_missing_classes(extractor, tiny_kinect_store, tmp_path):
    made = fit_classifier([extractor], uneven(tmp_path / 'uneven', tiny_kinect_store), left_out=2)
    report = made.config['report']
    assert made.classes == ['walk', 'sit', 'rare', 'fall'] and report['left_out'] == ['none']
    assert report['held_out']['num_test'] == 15  # the single clip is never held out
    assert report['tests'][0]['num_test'] == 2 and report['tests'][0]['top1'] <= 50  # one clip of a missing class
    assert 'never predicted: none' in made.card and report['unknown']['classes'] == 2


def test_what_cannot_be_fitted(extractor, tiny_kinect_store, tmp_path):
    store = uneven(tmp_path / 'a', tiny_kinect_store, (3, 3), ('walk', 'unknown'))
    with pytest.raises(UserError, match="has a class 'unknown'"):
        fit_classifier([extractor], store, reject=.1)
    with pytest.raises(UserError, match='recipe nonsense: choose one of .*finetune:small'):
        fit_classifier([extractor], store, 'nonsense')
    with pytest.raises(UserError, match='reject 1: expected a share'):
        fit_classifier([extractor], store, reject=1)
    with pytest.raises(UserError, match="is in the splits 'all' and 'test'"):
        fit_classifier([extractor], store, train_split='all', test_splits=['test'])
    single = uneven(tmp_path / 'b', tiny_kinect_store, (3, 0), ('walk', 'sit'))
    with pytest.raises(UserError, match="have the class 'walk'; at least two"):
        fit_classifier([extractor], single)
    with pytest.raises(UserError, match='each with its own class'):
        fit_classifier([extractor], uneven(tmp_path / 'c', tiny_kinect_store, (1, 1), ('walk', 'sit')))


def test_the_command(encoder_checkpoint, tiny_kinect_store, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / 'made')
    main(['fit', encoder_checkpoint, '--data', tiny_kinect_store, '--out', out, '--reject', '0.1', '--device', 'cpu',
          '--data-licence', 'mine'])
    text = capsys.readouterr().out
    assert 'test: top-1 ' in text and 'n=16' in text and 'unknown movements: mean AUROC' in text
    assert 'Licence of the training data: mine' in (tmp_path / 'made/README.md').read_text()
    monkeypatch.setattr('mmskelssl.inference.fit.fit_layer', None)  # refused before anything is fitted
    with pytest.raises(SystemExit):
        main(['fit', encoder_checkpoint, '--data', tiny_kinect_store, '--out', out, '--device', 'cpu'])
    assert 'exists: choose another folder' in capsys.readouterr().err


def test_a_layer_on_features_as_they_are():
    rng = np.random.default_rng(0)
    for classes in (2, 3):
        labels = np.arange(60) % classes
        train = (rng.normal(size=(60, 5)) * [1, 10, 100, 1, 1] + labels[:, None]).astype(np.float32)
        train[:, 4] = 7  # a feature that does not vary
        for recipe in ('logreg', 'paper-crrl'):
            weight, bias = fit_layer(train, labels, recipe)
            expected = linear_probe(train, labels, train, recipe)
            np.testing.assert_allclose(train @ weight.T + bias, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match='numbered without gaps'):
        fit_layer(train, labels + 1)


def test_calibration_of_overconfident_scores():
    """Scores of a known model, made too large by a factor, get that factor as their temperature."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 5)) * 2
    chances = softmax(scores)
    labels = np.array([rng.choice(5, p=p) for p in chances])
    temperature = fit_temperature(scores * 3, labels)
    assert temperature == pytest.approx(3, rel=.05)
    assert calibration_error(softmax(scores * 3), labels) > 10 > 3 > calibration_error(
        softmax(scores * 3, temperature), labels)
    assert log_loss(labels, softmax(scores * 3, temperature)) <= log_loss(labels, chances) + 1e-3


def test_calibration_of_few_clips_that_are_all_correct():
    scores, labels = np.eye(3)[[0, 1, 2, 0, 1]] * 4, np.array([0, 1, 2, 0, 1])
    chances = softmax(scores, fit_temperature(scores, labels))
    assert .7 < chances.max() < .95  # (5 + 1) / (5 + 2) = .86
    certain = np.array([[1., 0.], [.5, .5]])
    assert calibration_error(certain, np.array([0, 0])) == pytest.approx(25)  # (0 + .5) / 2
    assert calibration_error(certain, np.array([1, 2])) == pytest.approx(75)


@pytest.mark.parametrize('share, refused', [(0, 0), (.1, 1), (.25, 2), (.99, 9)])
def test_the_threshold_refuses_at_most_a_share(share, refused):
    best = np.linspace(.55, .95, 10)
    chances = np.stack([best, 1 - best], 1).astype(np.float32)
    assert (chances.max(1) < np.float32(reject_threshold(chances, share))).sum() == refused


def test_less_than_no_class_is_left_out(extractor, tiny_kinect_store):
    with pytest.raises(UserError, match='--left-out is -3; it must be an integer of at least 0'):
        fit_classifier([extractor], tiny_kinect_store, left_out=-3)
