# python tools/train.py configs/simclr_pool.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pool.py',
    '_base_/views/front.py',
    '_base_/models/simclr.py',
    '_base_/schedules/adamw.py']
turned = [dict(op, degrees=90) if op['type'] == 'YawRotate' else op for op in _base_.weak]
model = dict(
    backbone=dict(num_persons='each'),  # so that the encoder takes clips of two persons, too
    data_preprocessor=dict(alignment='both', velocity=True, views=dict(first=turned, second=turned)))
train_dataloader = dict(batch_size=128)
train_cfg = dict(by_epoch=True, max_epochs=150)  # an epoch has as many clips as the three training splits
