# python tools/train.py configs/skeletonclr_nwucla.py
_base_ = ['_base_/runtime.py', '_base_/datasets/nwucla.py', '_base_/models/skeletonclr_small.py',
          '_base_/schedules/adamw.py']
train_cfg = dict(by_epoch=True, max_epochs=110)
