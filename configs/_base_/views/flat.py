# Views of 2D poses: 2D poses cannot be rotated in depth, so they are sheared and mirrored instead.
weak = [
    dict(type='CropResize', scale=(0.5, 1.0)),
    dict(type='Shear', amplitude=0.2),
    dict(type='SpatialFlip', p=0.5, mirror=True),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01, absent=False),
    dict(type='JointMask', ratio=0.15)]
