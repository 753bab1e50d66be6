# python tools/train.py configs/crrlreconstruct_cmu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/cmu.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrlreconstruct.py',
    '_base_/schedules/sgd_60e.py']
data = dict(pipeline=_base_.one_person)
model = dict(backbone=dict(num_persons=1))
train_dataloader = dict(batch_size=32)
