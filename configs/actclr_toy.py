# python tools/train.py configs/actclr_toy.py      (AimCLR, then ActCLR, in one work_dir)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/views/around.py',
    '_base_/models/actclr_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='aimclr', config='aimclr_toy.py', carry=['backbone.', 'projector.'])]
model = dict(
    backbone=dict(absent='skip'),  # most clips show one person
    data_preprocessor=dict(alignment='none', keep_absent=True, views=dict(
        weak=_base_.weak, key=_base_.weak, normal=_base_.weak, strong=_base_.strong)))
train_cfg = dict(by_epoch=True, max_epochs=6)
default_hooks = dict(fill_queue=dict(type='FillQueueHook'))
