# python tools/train.py configs/mamp_nwucla.py  (MAMP, then NNTuning)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/models/nn_tuning_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='mamp', config='mampmasked_nwucla.py', carry=['backbone.']), dict(name='nn_tuning')]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_dataloader = dict(batch_size=128)
train_cfg = dict(by_epoch=True, max_epochs=20)
