# SimCLR: the reference point. Two views, negatives from the batch, no key encoder. It uses the cheapest encoder
# that learns, temporal convolutions.
model = dict(
    type='SimCLR',
    backbone=dict(type='TemporalConvNet', channels=(128, 128, 256, 256)),
    projector=dict(hidden_channels=256, out_channels=128),
    pooling='mean_max',
    temperature=0.2,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
