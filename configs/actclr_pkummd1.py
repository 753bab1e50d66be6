# python tools/train.py configs/actclr_pkummd1.py [--amp] [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pkummd1.py',
    '_base_/models/actclr.py',
    '_base_/schedules/sgd_350e_curriculum.py']
stages = [dict(name='aimclr', config='aimclr_pkummd1.py', carry=['backbone.', 'projector.'])]
default_hooks = dict(curriculum=_base_.curriculum)
