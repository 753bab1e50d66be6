# python tools/train.py configs/simclr_toy.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/views/around.py',
    '_base_/models/simclr.py',
    '_base_/schedules/adamw.py']
model = dict(
    backbone=dict(num_persons=2),
    data_preprocessor=dict(alignment='none', velocity=True, keep_absent=True, views=dict(
        first=_base_.weak, second=_base_.weak)))
train_cfg = dict(by_epoch=True, max_epochs=16)
