# python tools/train.py configs/mampmasked_bandai.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/bandai.py',
    '_base_/views/front.py',
    '_base_/models/mamp_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(views=dict(clip=_base_.gentle)))
train_cfg = dict(by_epoch=True, max_epochs=100)
