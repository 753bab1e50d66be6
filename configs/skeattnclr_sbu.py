# python tools/train.py configs/skeattnclr_sbu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/views/interaction.py',
    '_base_/models/skeattnclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    query=_base_.weak, key=_base_.weak, mixed=['query', _base_.swap])))
train_dataloader = dict(batch_size=32)
train_cfg = dict(by_epoch=True, max_epochs=60)
