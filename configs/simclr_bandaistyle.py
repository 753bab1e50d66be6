# python tools/train.py configs/simclr_bandaistyle.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/bandaistyle.py',
    '_base_/models/simclr.py',
    '_base_/schedules/adamw.py']
# Two short parts of a clip show different moments of the action in the same style. Nothing that changes the posture or
# the size of the body is augmented, and no joint is mixed with others before the probe.
_view = [
    dict(type='CropResize', scale=(0.1, 0.5)),
    dict(type='GaussianNoise', p=0.5, std=0.01, absent=False),
    dict(type='JointMask', ratio=0.15)]
model = dict(
    backbone=dict(channels=(16, 16, 32, 32), separate_joints=True),
    data_preprocessor=dict(velocity=True, views=dict(first=_view, second=_view)))
train_cfg = dict(by_epoch=True, max_epochs=40)
