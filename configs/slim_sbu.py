# python tools/train.py configs/slim_sbu.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/sbu.py',
    '_base_/views/multicrop_person.py',
    '_base_/models/slim_small.py',
    '_base_/schedules/slim_small.py']
# Clips of 16 frames, a third of what multicrop.py is for. There is one camera, and sides matter (interaction.py).
_views = {name: [op if isinstance(op, str) else dict(op, frames=op['frames'] // 3, least=4) if 'frames' in op else
                 dict(op, degrees=15) if op['type'] == 'YawRotate' else op for op in ops
                 if isinstance(op, str) or op['type'] not in ('SpatialFlip', 'AxisMask')]
          for name, ops in _base_.multicrop.items()}
model = dict(backbone=dict(segment=4), data_preprocessor=dict(views=_views))
train_dataloader = dict(batch_size=32)
train_cfg = dict(by_epoch=True, max_epochs=200)
