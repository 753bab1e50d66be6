# python tools/train.py configs/skeletonclr_pose2d.py      (your own poses in 2D; docs/data.md)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pose2d.py',
    '_base_/views/flat.py',
    '_base_/models/skeletonclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(views=dict(query=_base_.weak, key=_base_.weak)))
train_cfg = dict(by_epoch=True, max_epochs=200)
