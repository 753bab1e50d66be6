# SkeletonCLR for a few thousand clips or fewer (a departure from the paper; docs/small_data.md): views that keep what
# separates actions, in-batch negatives, a warmer contrast, no dropout.
_weak = [
    dict(type='CropResize', scale=(0.5, 1.0)),
    dict(type='YawRotate', degrees=45),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01),
    dict(type='JointMask', ratio=0.15)]
model = dict(
    type='SkeletonCLR',
    backbone=dict(type='STGCN', hidden_channels=16, out_channels=128, adjacency='agcn', dropout=0.0,
                  absent='skip'),
    projector=dict(hidden_channels=128, out_channels=128),
    momentum=dict(momentum=0.9, buffers='own'),
    pooling='mean_max',
    queue_size=0,  # only fresh negatives: with a short queue, old against new was learnt first (see docs)
    in_batch=True,
    temperature=0.2,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', alignment='both', keep_absent=True,
                           views=dict(query=_weak, key=_weak)))
