"""Saved models whose config or weights have been changed at random: a result, or one line for the user."""
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fuzz_structure import PLAIN, spoil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.saved.member import Member, model_config
from mmskelssl.inference.saved.write import write_folder

CLIP = np.random.default_rng(0).normal(size=(1, 9, 20, 3)).astype(np.float32)
FUZZ = settings(max_examples=100, deadline=None, derandomize=True, database=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('fuzz') / 'model'
    model = model_config(dict(
        backbone=dict(type='TemporalConvNet', layout='kinect20', channels=[4, 4, 4, 4]),
        data_preprocessor=dict(type='SkeletonPreprocessor', layout='kinect20')), 'SkeletonClassifier', num_classes=2)
    data = describe_data(dict(pipeline=[dict(type='SelectPersons', max_persons=1),
                                        dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]),
                         layout='kinect20', data_hash='0')
    member = Member(build_model(model, 'here', seed=0), dict(model=model, dataset=data, method='SimCLR', epoch=3))
    write_folder(path, 'classifier', [member], 'card', fps=30., classes=['a', 'b'], weights=[1.], temperature=1.,
                 threshold=.1)
    return path


@pytest.fixture(scope='module')
def copy(folder, tmp_path_factory) -> Path:
    return Path(shutil.copytree(folder, tmp_path_factory.mktemp('spoiled') / 'model'))


def used(copy: Path) -> None:
    try:
        classifier = SkeletonClassifier.from_pretrained(copy, 'cpu')
        made = classifier([CLIP], fps=60)
        assert np.isfinite(made.probabilities).all() and made.names
    except UserError as error:
        assert '\n' not in str(error)


def test_the_model_itself_works(folder):
    made = SkeletonClassifier.from_pretrained(folder, 'cpu')([CLIP])
    assert made.probabilities.shape == (1, 2)


@pytest.mark.parametrize('change, message', [
    (dict(weights=[1e308]), 'scores of its clips are not finite'), (dict(weights=[1e999]), 'weights is not a list of'),
    (dict(weights=[1, 1]), 'weights is not a list of one number'), (dict(temperature=0), 'temperature is not'),
    (dict(temperature=True), 'temperature is not'), (dict(threshold=2), 'threshold is not'),
    (dict(classes=['a', 'a']), 'two or more different names'), (dict(classes=['a', 'b\n']), 'different names'),
    (dict(classes=['a', 'b', 'c']), 'num_classes is not the number of classes, 3')])
def test_numbers_of_a_classifier(folder, copy, change, message):
    content = json.loads((folder / 'config.json').read_text())
    (copy / 'config.json').write_text(json.dumps({**content, **change}).replace('Infinity', '1e999'))
    with pytest.raises(UserError, match=message):
        classifier = SkeletonClassifier.from_pretrained(copy, 'cpu')
        classifier.networks[0].model.head.bias.data.fill_(100)
        classifier([CLIP])


@FUZZ
@given(data=st.data())
def test_configs(folder, copy, data):
    content = json.loads((folder / 'config.json').read_text())
    content = spoil(data.draw, content, PLAIN)
    (copy / 'config.json').write_text(json.dumps(content))
    used(copy)


@FUZZ
@given(place=st.floats(0, 1), value=st.integers(0, 255), header=st.booleans(), cut=st.booleans())
def test_weights(folder, copy, place, value, header, cut):
    shutil.copy(folder / 'config.json', copy)
    content = bytearray((folder / 'model.safetensors').read_bytes())
    end = 8 + int.from_bytes(content[:8], 'little') if header else len(content)
    at = int(place * (end - 1))
    content[at] = value
    (copy / 'model.safetensors').write_bytes(content[:at] if cut else content)
    try:
        used(copy)
    finally:
        shutil.copy(folder / 'model.safetensors', copy)
