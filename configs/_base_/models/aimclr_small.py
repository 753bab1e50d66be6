# AimCLR for a few thousand clips or fewer: as skeletonclr_small.py, and an extreme view. Nearest neighbours are never
# mined: in so short a run the early ones are wrong.
_base_ = 'skeletonclr_small.py'
_weak = [
    dict(type='CropResize', scale=(0.5, 1.0)),
    dict(type='YawRotate', degrees=45),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01),
    dict(type='JointMask', ratio=0.15)]
model = dict(
    type='AimCLR',
    ddm_weight=0.5,
    mining_epoch=None,
    data_preprocessor=dict(views=dict(extreme=[
        *_weak,
        dict(type='SpatialFlip', p=0.5, mirror=True),
        dict(type='AxisMask', p=0.3),
        dict(type='GaussianNoise', p=0.5, std=0.03)])))
