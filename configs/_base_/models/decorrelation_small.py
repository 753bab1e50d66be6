# Feature decorrelation for a few thousand clips or fewer: two views on temporal convolutions. Their map has no joints,
# so the levels are clips and time.
model = dict(
    type='FeatureDecorrelation',
    backbone=dict(type='TemporalConvNet', channels=(128, 128, 256, 256)),
    projector=dict(hidden_channels=512, out_channels=1024, norm=True, layers=3),
    pooling='mean_max',
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
