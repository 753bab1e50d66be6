# python tools/train.py configs/simclrjoints_msr.py
_base_ = 'simclr_msr.py'
# As simclr_msr.py, with an encoder that convolves each joint by itself. It needs half of the epochs.
model = dict(backbone=dict(channels=(16, 16, 32, 32), separate_joints=True))
train_cfg = dict(max_epochs=150)
