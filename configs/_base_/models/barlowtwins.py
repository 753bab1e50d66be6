# Barlow Twins (docs/methods.md 8) for small data: the encoder of simclr.py, and a projector of three layers.
model = dict(
    type='BarlowTwins',
    backbone=dict(type='TemporalConvNet', channels=(128, 128, 256, 256)),
    projector=dict(hidden_channels=512, out_channels=512, norm=True, layers=3),
    off_diagonal=0.0051,
    pooling='mean_max',
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
