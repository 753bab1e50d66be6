# python tools/train.py configs/skeattnclr_toy.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/views/around.py',
    '_base_/models/skeattnclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(
    backbone=dict(absent='skip'),  # most clips show one person
    data_preprocessor=dict(alignment='none', keep_absent=True, views=dict(
        query=_base_.weak, key=_base_.weak, mixed=['query', _base_.swap])))
train_cfg = dict(by_epoch=True, max_epochs=16)
