# python tools/train.py configs/slim_toy.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/toy.py',
    '_base_/views/multicrop_person.py',
    '_base_/models/slim_small.py',
    '_base_/schedules/slim_small.py']
# Clips of 24 frames, half of what multicrop.py is for, seen from any side.
_views = {name: [op if isinstance(op, str) else dict(op, frames=op['frames'] // 2) if 'frames' in op else
                 dict(op, degrees=180) if op['type'] == 'YawRotate' else op for op in ops]
          for name, ops in _base_.multicrop.items()}
model = dict(backbone=dict(size='tiny', segment=4), data_preprocessor=dict(views=_views))
train_cfg = dict(by_epoch=True, max_epochs=16)
