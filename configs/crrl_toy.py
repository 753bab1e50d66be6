# python tools/train.py configs/crrl_toy.py      (the motion learner, then CRRL, in one work_dir)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrl_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='crrlmotion', config='crrlmotion_toy.py', carry={'backbone.': 'teacher.'})]
data = dict(pipeline=_base_.two_persons)
train_cfg = dict(by_epoch=True, max_epochs=8)
