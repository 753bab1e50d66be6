# python tools/train.py configs/byol_sbu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/views/interaction.py',
    '_base_/models/byol_small.py',
    '_base_/schedules/adamw.py']
model = dict(
    backbone=dict(num_persons=2),
    data_preprocessor=dict(alignment='both', velocity=True, views=dict(first=_base_.weak, second=_base_.weak)))
train_dataloader = dict(batch_size=64)
train_cfg = dict(by_epoch=True, max_epochs=300)
