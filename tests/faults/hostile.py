"""Handwritten checkpoints that tests may damage."""
import json

import torch

from mmskelssl.engine.rebuild import build_model

MODEL = dict(
    type='SimCLR', projector=dict(hidden_channels=8, out_channels=8),
    backbone=dict(type='TemporalConvNet', layout='ntu25', num_persons=2, channels=[4, 4]),
    data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', views=dict(
        first=[dict(type='Shear', amplitude=.5)], second=['first', dict(type='Rotate')])))
PIPELINE = [dict(type='SelectPersons', max_persons=2), dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]
DATASET = dict(type='SkeletonDataset', layout='ntu25', pipeline=PIPELINE)


def content(store=None, model=MODEL, dataset=DATASET, **info) -> dict:
    """Return the content of a checkpoint of :data:`MODEL`. ``info`` replaces parts of its description."""
    dataset = {**dataset, **({'store': str(store)} if store else {})}
    info = {**dict(model=json.dumps(model), dataset=json.dumps(dataset), method='SimCLR', stream='joint', seed=0,
                   epoch=1, iteration=4, config_hash='0123', data_hash='4567'), **info}
    return dict(state_dict=build_model(MODEL, 'here', seed=0).state_dict(), meta=dict(epoch=1, iter=4, mmskelssl=info))


def save(path, *args, **kwargs) -> str:
    torch.save(content(*args, **kwargs), path)
    return str(path)
