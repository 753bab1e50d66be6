# SkeAttnCLR (docs/methods.md 2.1 to 2.4): the full-width ST-GCN, two weak views, the query view with parts swapped in.
_weak = [dict(type='TemporalCrop', pad_ratio=6), dict(type='Shear', amplitude=0.5)]
model = dict(
    type='SkeAttnCLR',
    backbone=dict(type='STGCN', hidden_channels=64, out_channels=256, adjacency='agcn', dropout=0.5),
    projector=dict(hidden_channels=256, out_channels=128, norm=True),
    predictor_channels=256,
    attention=dict(heads=8, sharpness=2.0),
    local_weight=0.5,
    momentum=dict(momentum=0.996, final_momentum=1.0, buffers='ema'),
    queue_size=32768,
    temperature=0.2,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(
        query=_weak,
        key=_weak,
        mixed=['query', dict(type='SwapParts', parts=(3, 4), cells=(4, 7), cell=4)])))
