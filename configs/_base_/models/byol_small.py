# BYOL for a few thousand clips or fewer: temporal convolutions, and a key encoder that follows faster.
model = dict(
    type='BYOL',
    backbone=dict(type='TemporalConvNet', channels=(128, 128, 256, 256)),
    projector=dict(hidden_channels=256, out_channels=128, norm=True),
    predictor_channels=256,
    momentum=dict(momentum=0.99, final_momentum=1.0, buffers='own'),
    pooling='mean_max',
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
