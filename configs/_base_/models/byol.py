# BYOL (docs/methods.md 8) on the encoder and the schedule of AimCLR. There is no published recipe for skeletons: the
# momentum is that of the paper, and the views are those of SkeletonCLR, mirrored and rotated.
_view = [
    dict(type='TemporalCrop', pad_ratio=6),
    dict(type='Shear', amplitude=0.5),
    dict(type='SpatialFlip', p=0.5, mirror=True),
    dict(type='Rotate', main=30, minor=1)]
model = dict(
    type='BYOL',
    backbone=dict(type='STGCN', hidden_channels=16, out_channels=256, adjacency='stgcn', dropout=0.0),
    projector=dict(hidden_channels=512, out_channels=256, norm=True),
    predictor_channels=512,
    momentum=dict(momentum=0.996, final_momentum=1.0, buffers='own'),
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(first=_view, second=_view)))
