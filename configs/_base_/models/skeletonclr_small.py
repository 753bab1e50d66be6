# SkeletonCLR for a few thousand clips or fewer (a departure from the paper; docs/small_data.md): only fresh negatives,
# because with a short queue the network first learns to tell old keys from new ones; a higher temperature; no dropout.
model = dict(
    type='SkeletonCLR',
    backbone=dict(type='STGCN', hidden_channels=16, out_channels=128, adjacency='agcn', dropout=0.0),
    projector=dict(hidden_channels=128, out_channels=128),
    momentum=dict(momentum=0.9, buffers='own'),
    pooling='mean_max',
    queue_size=0,
    in_batch=True,
    temperature=0.2,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
