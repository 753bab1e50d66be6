# python tools/train.py configs/crrl_nwucla.py      (the motion learner, then CRRL, in one work_dir)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrl_small.py',
    '_base_/schedules/adamw.py']
stages = [dict(name='crrlmotion', config='crrlmotion_nwucla.py', carry={'backbone.': 'teacher.'})]
# One clip in twenty is longer than 100 frames; it is cut.
data = dict(pipeline=[dict(step, frames=100) if step['type'] == 'PadFrames' else step for step in _base_.one_person])
model = dict(backbone=dict(num_persons=1))
train_cfg = dict(by_epoch=True, max_epochs=40)
