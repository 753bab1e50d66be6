# python tools/train.py configs/actclr_bandai.py      (AimCLR, then ActCLR, in one work_dir)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/bandai.py',
    '_base_/views/front.py',
    '_base_/models/actclr_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='aimclr', config='aimclr_bandai.py', carry=['backbone.', 'projector.'])]
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    weak=_base_.weak, key=_base_.weak, normal=_base_.weak, strong=_base_.strong)))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(by_epoch=True, max_epochs=60)
