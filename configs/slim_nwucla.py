# python tools/train.py configs/slim_nwucla.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/views/multicrop.py',
    '_base_/models/slim_small.py',
    '_base_/schedules/slim_small.py']
data = dict(pipeline=[dict(step, frames=48) if step['type'] == 'ResizeFrames' else step
                      for step in _base_.data.pipeline])
model = dict(data_preprocessor=dict(views=_base_.multicrop))
train_cfg = dict(by_epoch=True, max_epochs=100)
