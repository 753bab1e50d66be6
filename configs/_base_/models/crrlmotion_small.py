# The motion learner for a few thousand clips or fewer (a departure from the paper; docs/small_data.md): fresh
# negatives, a momentum key head, velocities scaled like the coordinates, and an independent random viewpoint per view.
_base_ = 'crrlmotion.py'
_view = [dict(type='YawRotate', degrees=45), dict(type='Scale', amplitude=0.2),
         dict(type='GaussianNoise', p=0.5, std=0.01, absent=False)]
model = dict(
    projector=dict(hidden_channels=256, out_channels=128),
    momentum=dict(momentum=0.9),
    key_head='momentum',
    velocity='range',
    queue_size=0,
    in_batch=True,
    data_preprocessor=dict(views=dict(query=_view, key=_view)))
