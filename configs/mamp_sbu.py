# python tools/train.py configs/mamp_sbu.py  (MAMP, then NNTuning)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/models/nn_tuning_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='mamp', config='mampmasked_sbu.py', carry=['backbone.']), dict(name='nn_tuning')]
model = dict(queue_size=128)  # a fold has about 226 training clips
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_dataloader = dict(batch_size=32)
train_cfg = dict(by_epoch=True, max_epochs=20)
