# python tools/train.py configs/crrl_cmu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/cmu.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrl.py',
    '_base_/schedules/sgd_60e.py']
stages = [dict(name='crrlmotion', config='crrlmotion_cmu.py', carry={'backbone.': 'teacher.'})]
data = dict(pipeline=_base_.one_person)
model = dict(backbone=dict(num_persons=1))
train_dataloader = dict(batch_size=32)
