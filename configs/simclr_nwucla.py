# python tools/train.py configs/simclr_nwucla.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/views/front.py',
    '_base_/models/simclr.py',
    '_base_/schedules/adamw.py']
# Wider rotations than in front.py: they were better across cameras on the training part (docs/small_data.md).
turned = [dict(op, degrees=90) if op['type'] == 'YawRotate' else op for op in _base_.weak]
model = dict(data_preprocessor=dict(alignment='both', velocity=True, views=dict(first=turned, second=turned)))
train_dataloader = dict(batch_size=128)
train_cfg = dict(by_epoch=True, max_epochs=300)
