# Views of two persons in front of one camera: small rotations, different body sizes, and nearly the whole clip, because
# each clip is one action from beginning to end (docs/small_data.md). The strong views have no mirror and no axis mask:
# who acts, and in which direction, defines the action.
weak = [
    dict(type='Rescale', amplitude=0.3, centred=True),
    dict(type='CropResize', scale=(0.8, 1.0)),
    dict(type='YawRotate', degrees=15),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.02, absent=False),
    dict(type='JointMask', ratio=0.15)]
strong = [
    *weak,
    dict(type='GaussianNoise', p=0.5, std=0.04, absent=False)]
# For methods that hide parts of a clip themselves.
gentle = [op for op in weak if op['type'] in ('CropResize', 'YawRotate', 'Scale')]
swap = dict(type='SwapParts', parts=(3, 4), cells=(1, 2), cell=4)
# For clips that keep their own length and are not cropped.
whole = [op for op in weak if op['type'] not in ('CropResize', 'LinearJitter', 'JointMask')]
