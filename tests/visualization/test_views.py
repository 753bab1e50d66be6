"""The steps are the same as in training: the last panel of a view equals the preprocessor's output."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.config import load_config
from mmskelssl.errors import UserError
from mmskelssl.visualization.views import COMPANIONS, ViewSteps
from tests.conftest import write_tiny_store

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def config(name):
    return load_config(str(CONFIGS / name))[-1][1]


def panels_of(rows):
    return {row.title: [panel.caption for panel in row.panels] for row in rows}


@pytest.mark.parametrize('name', ['actclr_ntu60.py', 'actclr_toy.py', 'skeattnclr_toy.py', 'crrl_toy.py',
                                  'simclr_toy.py', 'skeletonclr_ntu60.py'])
def test_the_last_panel_is_what_the_encoder_gets(tiny_store, name):
    store, cfg = SkeletonStore(tiny_store), config(name)
    steps = ViewSteps(store, cfg, name, seed=3)
    rows = {row.title.removeprefix('view '): row for row in steps.rows(5)}
    assert rows.pop('pipeline').panels[0].keypoints.shape == store.keypoints(5).shape
    batch = [steps._pipeline(i)[1] for i in
             [5, *np.linspace(0, len(store) - 1, COMPANIONS + 2).round().astype(int)[1:-1]]]
    preprocessor = steps.preprocessor
    preprocessor.alignment, preprocessor.stream, preprocessor.velocity = 'none', 'joint', False
    preprocessor.set_progress(5)
    inputs = torch.from_numpy(np.stack([sample['inputs'] for sample in batch]))
    made = preprocessor(dict(inputs=inputs, data_samples={}), training=True)['inputs']
    assert set(rows) == {view for view, ops in preprocessor.views.items() if ops} and rows
    for view, row in rows.items():
        ops = [f'+ {type(op).__name__}' for op in preprocessor.views[view]]
        origin = preprocessor.origin.get(view, 'pipeline')
        assert [panel.caption for panel in row.panels] == [f'{origin}, before', *ops]
        expected = made[view][0, :, :batch[0]['num_frames']].permute(3, 1, 2, 0).numpy()
        np.testing.assert_array_equal(row.panels[-1].keypoints, expected)
        start = rows[origin].panels[-1].keypoints if origin in rows else inputs[0].permute(3, 1, 2, 0).numpy()
        np.testing.assert_array_equal(row.panels[0].keypoints, start[:, :batch[0]['num_frames']])


def test_the_pipeline_step_by_step(tiny_store):
    store = SkeletonStore(tiny_store)
    row = ViewSteps(store, config('crrl_toy.py'), 'c').rows(0)[0]
    frames = store.keypoints(0).shape[1]
    assert [panel.caption for panel in row.panels] == ['as stored', '+ SelectPersons', '+ AlignSequence', '+ FitRange',
                                                       '+ PadFrames']
    assert row.panels[-1].note == f'{frames} of 300 frames' and row.panels[-1].keypoints.shape[1] == frames
    assert np.abs(row.panels[-2].keypoints).max() == pytest.approx(.7)
    np.testing.assert_array_equal(row.panels[0].keypoints, store.keypoints(0))  # no step modified it


def test_draws_follow_seed_and_sample_and_nothing_else(tiny_store):
    store, cfg = SkeletonStore(tiny_store), config('actclr_toy.py')

    def last(seed, *samples):
        steps = ViewSteps(store, cfg, 'c', seed)
        return [steps.rows(i) for i in samples][-1][-1].panels[-1].keypoints
    np.testing.assert_array_equal(last(0, 7), last(0, 2, 7))
    assert not np.array_equal(last(0, 7), last(1, 7))


def views(cfg, **changed):
    return Config(dict(data=dict(pipeline=cfg.data.pipeline), model=dict(data_preprocessor=dict(
        type='SkeletonPreprocessor', views=changed))))


def test_what_an_operator_leaves_as_it_is_says_so(tiny_store):
    store, cfg = SkeletonStore(tiny_store), config('actclr_toy.py')
    cfg = views(cfg, a=[dict(type='GaussianNoise', p=0), dict(type='GaussianNoise', p=1)], b=[], c=['a'])
    pipeline, row = ViewSteps(store, cfg, 'c').rows(0)
    assert row.title == 'view a' and [panel.note for panel in row.panels] == ['', 'not this time', '']


def test_swapped_parts_come_from_other_samples(tiny_store):
    store, cfg = SkeletonStore(tiny_store), config('skeattnclr_toy.py')
    rows = {row.title: row for row in ViewSteps(store, cfg, 'c').rows(0)}
    before, swapped = (panel.keypoints for panel in rows['view mixed'].panels)
    assert 0 < (before != swapped).any(-1).mean() < 1


@pytest.mark.parametrize('samples', [1, 2])
def test_a_store_of_hardly_any_sample(tmp_path, samples):
    store = SkeletonStore(write_tiny_store(tmp_path / 's', 'ntu25', 2, samples))
    assert ViewSteps(store, config('skeattnclr_toy.py'), 'c').rows(samples - 1)


def test_errors_name_the_config(tiny_store, tiny_kinect_store):
    store, cfg = SkeletonStore(tiny_store), config('actclr_toy.py')

    def error(cfg, store=store):
        with pytest.raises(UserError) as caught:
            ViewSteps(store, cfg, 'c.py').rows(0)
        assert 'c.py' in str(caught.value)
        return str(caught.value)
    assert 'no data.pipeline' in error(Config(dict(model=cfg.model)))
    assert 'no model.data_preprocessor' in error(Config(dict(data=cfg.data)))
    assert 'did you mean' in error(views(cfg, a=[dict(type='GausianNoise')]))
    assert 'GaussianNoise' in error(views(cfg, a=[dict(type='GaussianNoise', sdt=1)]))
    fixed = config('actclr_toy.py')
    fixed.model.data_preprocessor.layout = 'ntu25'
    assert "layout 'ntu25'" in error(fixed, SkeletonStore(tiny_kinect_store))
    other = config('actclr_toy.py')
    other.model.data_preprocessor = dict(type='mmengine.BaseDataPreprocessor')
    assert 'data_preprocessor' in error(other)
    short = config('actclr_toy.py')
    short.data.pipeline = short.data.pipeline[:-1]
    assert 'PackSkeleton' in error(short)
    ragged = config('actclr_toy.py')
    ragged.data.pipeline = [step for step in ragged.data.pipeline if step['type'] != 'ResizeFrames']
    assert 'ResizeFrames or PadFrames' in error(ragged)
    wrong = config('actclr_toy.py')
    wrong.data.pipeline = [dict(type='Centre'), *wrong.data.pipeline]
    assert 'did you mean Center' in error(wrong)
