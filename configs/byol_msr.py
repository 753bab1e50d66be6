# python tools/train.py configs/byol_msr.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/msr.py',
    '_base_/views/front.py',
    '_base_/models/byol_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', velocity=True, views=dict(
    first=_base_.weak, second=_base_.weak)))
train_cfg = dict(by_epoch=True, max_epochs=300)
