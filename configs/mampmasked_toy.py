# python tools/train.py configs/mampmasked_toy.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/views/around.py',
    '_base_/models/mamp_small.py',
    '_base_/schedules/adamw.py']
model = dict(
    backbone=dict(size='tiny'),
    decoder_channels=64,
    data_preprocessor=dict(keep_absent=True, views=dict(clip=_base_.gentle)))
train_cfg = dict(by_epoch=True, max_epochs=16)
