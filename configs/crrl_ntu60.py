# python tools/train.py configs/crrl_ntu60.py [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu60.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrl.py',
    '_base_/schedules/sgd_60e.py']
stages = [dict(name='crrlmotion', config='crrlmotion_ntu60.py', carry={'backbone.': 'teacher.'})]
data = dict(pipeline=_base_.two_persons)
train_dataloader = dict(batch_size=32)
