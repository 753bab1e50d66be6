# python tools/train.py configs/simclrjoints_sbu.py
_base_ = 'simclr_sbu.py'
# As simclr_sbu.py, with an encoder that convolves each joint of each person by itself. It needs half of the epochs.
model = dict(backbone=dict(channels=(16, 16, 32, 32), separate_joints=True))
train_cfg = dict(max_epochs=150)
