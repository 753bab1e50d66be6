# python tools/train.py configs/actclr_ntu120.py [--amp] [--cfg-options data.split=xset]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu120.py',
    '_base_/models/actclr.py',
    '_base_/schedules/sgd_350e_curriculum.py']
stages = [dict(name='aimclr', config='aimclr_ntu120.py', carry=['backbone.', 'projector.'])]
default_hooks = dict(curriculum=_base_.curriculum)
