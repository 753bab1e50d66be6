# SLiM's views for small data, of clips of 48 frames: two long ones and a short one inside each. A camera may stand on
# either side of the person, so they are turned by up to 90 degrees.
_shared = [
    dict(type='YawRotate', degrees=90),
    dict(type='SpatialFlip', p=0.5, mirror=True),
    dict(type='Rescale', p=0.5, amplitude=0.15, centred=True, by='limb')]
_window = [dict(type='CropResize', scale=(0.5, 1.0), frames=48, least=8, sample=True)]
_last = [*_shared, dict(type='GaussianNoise', p=0.5, std=0.01, absent=False)]
_short = [dict(type='CropResize', scale=(0.25, 0.7), frames=24, least=8, sample=True), *_last]
multicrop = dict(
    first=['_first', *_last],
    second=['_second', *_last, dict(type='AxisMask', p=0.2)],
    local_1=['_first', *_short], local_2=['_second', *_short],
    _first=_window, _second=_window)
