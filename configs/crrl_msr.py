# python tools/train.py configs/crrl_msr.py      (the motion learner, then CRRL, in one work_dir)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/msr.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrl_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='crrlmotion', config='crrlmotion_msr.py', carry={'backbone.': 'teacher.'})]
data = dict(pipeline=_base_.one_person)
model = dict(backbone=dict(num_persons=1))
train_cfg = dict(by_epoch=True, max_epochs=150)
