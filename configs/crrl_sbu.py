# python tools/train.py configs/crrl_sbu.py      (the motion learner, then CRRL, in one work_dir)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/pipelines/padded.py',
    '_base_/views/interaction.py',
    '_base_/models/crrl_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='crrlmotion', config='crrlmotion_sbu.py', carry={'backbone.': 'teacher.'})]
data = dict(pipeline=_base_.interaction)
model = dict(data_preprocessor=dict(views=dict(clip=_base_.whole)))
train_dataloader = dict(batch_size=32)
train_cfg = dict(by_epoch=True, max_epochs=60)
