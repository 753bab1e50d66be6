# Feature decorrelation (docs/methods.md 7) with the views and weights of USDRL, on ST-GCN instead of its two
# transformers.
_view = [
    dict(type='CropResize', scale=(0.1, 1.0)),
    dict(type='JointMask', p=0.5, ratio=0.6),
    dict(type='Shear', p=0.5, amplitude=1.0)]
model = dict(
    type='FeatureDecorrelation',
    backbone=dict(type='STGCN', hidden_channels=16, out_channels=256, adjacency='agcn', dropout=0.0),
    projector=dict(hidden_channels=2048, out_channels=2048, norm=True, layers=3),
    similarity=5.0,
    variance=5.0,
    level_weight=0.5,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(
        first=_view, second=_view, third=_view, fourth=_view)))
