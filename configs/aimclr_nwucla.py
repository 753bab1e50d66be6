# python tools/train.py configs/aimclr_nwucla.py
# Single short runs on the training part (subjects 3 and 7 of `train` held out) compared queue and in-batch negatives,
# momentum, learning rate, batch size and pooling. The rest was fixed in advance; see docs/small_data.md.
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/views/front.py',
    '_base_/models/aimclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    query=_base_.weak, key=_base_.weak, extreme=_base_.strong)))
train_cfg = dict(by_epoch=True, max_epochs=110)
