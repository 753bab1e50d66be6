# ActCLR (docs/methods.md 1.1 to 1.4). The published operators unchanged: a rescale that shrinks, a blur that is
# not normalised, a flip that does not mirror. The curriculum removes augmentations during training.
_weak = [dict(type='TemporalCrop', pad_ratio=6), dict(type='Shear', amplitude=0.5)]
_shared = [dict(type='SpatialFlip', p=0.5, mirror=False), dict(type='Rotate', main=30, minor=1)]
_last = [dict(type='GaussianBlur', p=0.5, normalise=False), dict(type='AxisMask', p=0.5)]
model = dict(
    type='ActCLR',
    backbone=dict(type='STGCN', hidden_channels=16, out_channels=256, adjacency='stgcn', dropout=0.5),
    projector=dict(hidden_channels=256, out_channels=128),
    momentum=dict(momentum=0.999, buffers='own'),
    queue_size=65536,
    topk=8192,
    temperatures=(0.1, 0.04),
    mask='actionlet',
    threshold='published',
    anchor='batch',
    late_epoch=200,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(
        weak=_weak,
        key=_weak,
        normal=[*_weak, *_shared, dict(type='GaussianNoise', p=0.5, std=0.01), *_last],
        strong=[*_weak, *_shared, dict(type='GaussianNoise', p=0.5, std=0.05), *_last,
                dict(type='Interpolate', p=0.5, ratio=1), dict(type='Rescale', amplitude=0.5, centred=False)])))
