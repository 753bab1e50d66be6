# python tools/train.py configs/crrlreconstruct_nwucla.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/pipelines/padded.py',
    '_base_/models/crrlreconstruct_small.py',
    '_base_/schedules/adamw.py']
# One clip in twenty is longer than 100 frames; it is cut.
data = dict(pipeline=[dict(step, frames=100) if step['type'] == 'PadFrames' else step for step in _base_.one_person])
model = dict(backbone=dict(num_persons=1))
train_cfg = dict(by_epoch=True, max_epochs=40)
