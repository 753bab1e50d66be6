# python tools/train.py configs/crrlmotion_msr.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/msr.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrlmotion_small.py',
    '_base_/schedules/adamw.py']
data = dict(pipeline=_base_.one_person)
model = dict(backbone=dict(num_persons=1))
# As many steps as on NW-UCLA: after 400 the motion learner was still at chance.
train_cfg = dict(by_epoch=True, max_epochs=225)
