# python tools/train.py configs/mamp_msr.py  (MAMP, then NNTuning)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/msr.py',
    '_base_/models/nn_tuning_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='mamp', config='mampmasked_msr.py', carry=['backbone.']), dict(name='nn_tuning')]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(by_epoch=True, max_epochs=20)
