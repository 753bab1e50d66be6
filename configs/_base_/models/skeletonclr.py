# SkeletonCLR as in AimCLR's code (docs/methods.md 0.4 to 0.6, 4.1): weak views, MoCo with a queue.
_weak = [dict(type='TemporalCrop', pad_ratio=6), dict(type='Shear', amplitude=0.5)]
model = dict(
    type='SkeletonCLR',
    backbone=dict(type='STGCN', hidden_channels=16, out_channels=256, adjacency='stgcn', dropout=0.5),
    projector=dict(hidden_channels=256, out_channels=128),
    momentum=dict(momentum=0.999, buffers='own'),
    queue_size=32768,
    temperature=0.07,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(query=_weak, key=_weak)))
