# python tools/train.py configs/skeletonclr_toy.py
_base_ = ['_base_/runtime.py', '_base_/datasets/toy.py', '_base_/models/skeletonclr_small.py',
          '_base_/schedules/adamw.py']
# The camera stands anywhere, so that the view point is the first thing to learn: full turns about the vertical.
_weak = [
    dict(type='CropResize', scale=(0.5, 1.0)),
    dict(type='YawRotate', degrees=180),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01),
    dict(type='JointMask', ratio=0.15)]
model = dict(data_preprocessor=dict(alignment='none', views=dict(query=_weak, key=_weak)))
train_cfg = dict(by_epoch=True, max_epochs=12)
