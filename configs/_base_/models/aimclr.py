# AimCLR (docs/methods.md 4.2): SkeletonCLR plus an extremely augmented view, with the published operators
# unchanged: a blur that is not normalised, a flip that does not mirror.
_base_ = 'skeletonclr.py'
_weak = [dict(type='TemporalCrop', pad_ratio=6), dict(type='Shear', amplitude=0.5)]
model = dict(
    type='AimCLR',
    ddm_weight=0.5,
    mining_epoch=150,
    data_preprocessor=dict(views=dict(extreme=[
        *_weak,
        dict(type='SpatialFlip', p=0.5, mirror=False),
        dict(type='Rotate', main=30, minor=1),
        dict(type='GaussianNoise', p=0.5, std=0.01),
        dict(type='GaussianBlur', p=0.5, normalise=False),
        dict(type='AxisMask', p=0.5)])))
