# python tools/train.py configs/crrl_pkummd1.py [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pkummd1.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrl.py',
    '_base_/schedules/sgd_60e.py']
stages = [dict(name='crrlmotion', config='crrlmotion_pkummd1.py', carry={'backbone.': 'teacher.'})]
data = dict(pipeline=_base_.two_persons)
train_dataloader = dict(batch_size=32)
