# python tools/train.py configs/crrlreconstruct_msr.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/msr.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrlreconstruct_small.py',
    '_base_/schedules/adamw.py']
data = dict(pipeline=_base_.one_person)
model = dict(backbone=dict(num_persons=1))
train_cfg = dict(by_epoch=True, max_epochs=150)
