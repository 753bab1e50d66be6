# python tools/train.py configs/actclr_nwucla.py      (AimCLR, then ActCLR, in one work_dir)
_base_ = ['_base_/runtime.py', '_base_/datasets/nwucla.py', '_base_/models/actclr_small.py',
          '_base_/schedules/adamw.py']
stages = [dict(name='aimclr', config='aimclr_nwucla.py', carry=['backbone.', 'projector.'])]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(by_epoch=True, max_epochs=40)
