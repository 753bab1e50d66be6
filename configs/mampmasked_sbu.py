# python tools/train.py configs/mampmasked_sbu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/views/interaction.py',
    '_base_/models/mamp_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(views=dict(clip=_base_.gentle)))
train_dataloader = dict(batch_size=32)
train_cfg = dict(by_epoch=True, max_epochs=150)
