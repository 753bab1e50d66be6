# python tools/train.py configs/vicreg_nwucla.py
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/views/front.py',
    '_base_/models/vicreg.py',
    '_base_/schedules/adamw.py']
# As wide rotations as in simclr_nwucla.py.
turned = [dict(op, degrees=90) if op['type'] == 'YawRotate' else op for op in _base_.weak]
model = dict(data_preprocessor=dict(alignment='both', velocity=True, views=dict(first=turned, second=turned)))
train_dataloader = dict(batch_size=128)
train_cfg = dict(by_epoch=True, max_epochs=300)
