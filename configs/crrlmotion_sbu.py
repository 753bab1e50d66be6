# python tools/train.py configs/crrlmotion_sbu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/pipelines/padded.py',
    '_base_/views/interaction.py',
    '_base_/models/crrlmotion_small.py',
    '_base_/schedules/adamw.py']
data = dict(pipeline=_base_.interaction)
model = dict(data_preprocessor=dict(views=dict(query=_base_.whole, key=_base_.whole)))
train_dataloader = dict(batch_size=32)
train_cfg = dict(by_epoch=True, max_epochs=60)
