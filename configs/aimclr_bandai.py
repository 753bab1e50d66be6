# python tools/train.py configs/aimclr_bandai.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/bandai.py',
    '_base_/views/front.py',
    '_base_/models/aimclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    query=_base_.weak, key=_base_.weak, extreme=_base_.strong)))
train_cfg = dict(by_epoch=True, max_epochs=150)
