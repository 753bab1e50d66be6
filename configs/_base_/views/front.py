# Views for small data. They keep what stays the same between recordings of an action: trajectory, body, order in time.
weak = [
    dict(type='CropResize', scale=(0.5, 1.0)),
    dict(type='YawRotate', degrees=45),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01, absent=False),
    dict(type='JointMask', ratio=0.15)]
strong = [
    *weak,
    dict(type='SpatialFlip', p=0.5, mirror=True),
    dict(type='AxisMask', p=0.3),
    dict(type='GaussianNoise', p=0.5, std=0.03, absent=False)]
# For methods that hide parts of a clip themselves.
gentle = [op for op in weak if op['type'] in ('CropResize', 'YawRotate', 'Scale')]
swap = dict(type='SwapParts', parts=(3, 4), cells=(2, 4), cell=4)
