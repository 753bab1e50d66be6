# python tools/train.py configs/actclr_toy.py
_base_ = ['_base_/runtime.py', '_base_/datasets/toy.py', '_base_/models/actclr_small.py', '_base_/schedules/adamw.py']
stages = [dict(name='aimclr', config='aimclr_toy.py', carry=['backbone.', 'projector.'])]
train_cfg = dict(by_epoch=True, max_epochs=6)
