# python tools/train.py configs/mamp_toy.py  (MAMP, then NNTuning)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/models/nn_tuning_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='mamp', config='mampmasked_toy.py', carry=['backbone.']), dict(name='nn_tuning')]
model = dict(backbone=dict(size='tiny'))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(by_epoch=True, max_epochs=4)
