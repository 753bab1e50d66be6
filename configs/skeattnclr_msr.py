# python tools/train.py configs/skeattnclr_msr.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/msr.py',
    '_base_/views/front.py',
    '_base_/models/skeattnclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    query=_base_.weak, key=_base_.weak, mixed=['query', _base_.swap])))
train_cfg = dict(by_epoch=True, max_epochs=150)
