# python tools/train.py configs/crrlmotion_toy.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrlmotion_small.py',
    '_base_/schedules/adamw.py']
data = dict(pipeline=_base_.two_persons)
train_cfg = dict(by_epoch=True, max_epochs=16)
