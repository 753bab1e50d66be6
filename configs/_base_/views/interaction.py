# Views of two persons before one camera: small turns, other bodies, and nearly
# the whole clip, as each is one action from beginning to end (docs/small_data.md). No mirror and no axis mask among the
# strong ones: who acts and towards which side is the action.
weak = [
    dict(type='Rescale', amplitude=0.3, centred=True),
    dict(type='CropResize', scale=(0.8, 1.0)),
    dict(type='YawRotate', degrees=15),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.02),
    dict(type='JointMask', ratio=0.15)]
strong = [
    *weak,
    dict(type='GaussianNoise', p=0.5, std=0.04)]
swap = dict(type='SwapParts', parts=(3, 4), cells=(1, 2), cell=4)
# For clips of their own length, which are not cropped.
whole = [op for op in weak if op['type'] not in ('CropResize', 'LinearJitter', 'JointMask')]
