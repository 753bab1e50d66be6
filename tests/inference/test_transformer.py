"""SkeletonFeatures follows the conventions of scikit-learn."""
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.transformer import SkeletonFeatures

PIPELINE = [dict(type='SelectPersons'), dict(type='AlignSequence'), dict(type='ResizeFrames', frames=12),
            dict(type='PackSkeleton')]


@pytest.fixture(scope='module')
def saved(tmp_path_factory) -> str:
    config = dict(type='FrozenEncoder', backbone=dict(type='TemporalConvNet', layout='ntu25', num_persons=2,
                                                      channels=(8, 16)),
                  data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25'))
    info = dict(model=config, method='SimCLR', dataset=describe_data(dict(pipeline=PIPELINE), layout='ntu25', fps=30.))
    folder = tmp_path_factory.mktemp('transformer') / 'encoder'
    FeatureExtractor._of('here', build_model(config, 'here', 0).eval(), info, 'cpu').save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope='module')
def clips(tiny_store):
    store = SkeletonStore(tiny_store)
    return [np.array(store.keypoints(i)) for i in range(len(store))], store.labels


def test_features(saved, clips):
    transformer = SkeletonFeatures(saved, device='cpu')
    expected = FeatureExtractor.from_pretrained(saved, 'cpu')(clips[0])
    with pytest.raises(NotFittedError):
        transformer.get_feature_names_out()
    assert (transformer.transform(clips[0]) == expected).all()  # nothing is learned, so fit is optional
    assert (transformer.fit(clips[0]).transform(clips[0]) == expected).all()
    assert (transformer.fit_transform(clips[0], clips[1]) == expected).all()
    assert transformer.n_features_out_ == 16
    assert transformer.get_feature_names_out().tolist() == [f'skeletonfeatures{i}' for i in range(16)]


def test_parameters(saved, clips):
    transformer = SkeletonFeatures(saved, device='cpu', batch_size=7).fit(clips[0])
    twin = clone(transformer)
    assert twin.get_params() == transformer.get_params() and not hasattr(twin, 'extractor_')
    first = transformer.extractor_
    assert transformer.fit(clips[0]).extractor_ is first
    assert transformer.set_params(batch_size=5).fit(clips[0]).extractor_ is not first
    slow = SkeletonFeatures(saved, device='cpu', fps=60).transform(clips[0][:3])  # resampled to 30
    assert np.abs(slow - transformer.transform(clips[0][:3])).max() > 1e-4
    assert np.abs(slow - transformer.transform([clip[:, ::2] for clip in clips[0][:3]])).max() < .1


def test_pickle_and_joblib(saved, clips, tmp_path):
    """The encoder is not part of the file."""
    model = make_pipeline(SkeletonFeatures(saved, device='cpu'), LogisticRegression(max_iter=50)).fit(*clips)
    expected = model.predict_proba(clips[0])
    data = pickle.dumps(model)
    assert len(data) < 10_000 and (pickle.loads(data).predict_proba(clips[0]) == expected).all()
    joblib.dump(model, tmp_path / 'model.joblib')
    assert (joblib.load(tmp_path / 'model.joblib').predict_proba(clips[0]) == expected).all()


def test_a_search_over_a_pipeline(saved, clips, tmp_path):
    """Lists of clips are split into folds, and features are computed once per fold."""
    model = make_pipeline(SkeletonFeatures(saved, device='cpu'), LogisticRegression(max_iter=200),
                          memory=str(tmp_path / 'cache'))
    search = GridSearchCV(model, {'logisticregression__C': [1., 1e3], 'skeletonfeatures__batch_size': [16, 256]}, cv=2)
    search.fit(*clips)
    assert search.score(*clips) > .5  # of the training clips; chance is .25
    assert not np.isnan(search.cv_results_['mean_test_score']).any()
    assert search.predict(clips[0]).shape == (48,)


def test_what_is_no_encoder(saved, clips, tmp_path):
    with pytest.raises(UserError, match='no such checkpoint'):
        SkeletonFeatures(str(tmp_path / 'missing.pth')).fit(clips[0])
    with pytest.raises(UserError, match='describes its own preprocessing: leave out --like simclr_toy'):
        SkeletonFeatures(saved, like='simclr_toy').fit(clips[0])
    with pytest.raises(UserError, match='clip 1 has shape'):
        SkeletonFeatures(saved, device='cpu').transform([clips[0][0], clips[0][1][..., :2]])
