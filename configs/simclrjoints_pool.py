# python tools/train.py configs/simclrjoints_pool.py
_base_ = 'simclr_pool.py'
# As simclr_pool.py, with an encoder that convolves each joint by itself.
model = dict(backbone=dict(channels=(16, 16, 32, 32), separate_joints=True))
