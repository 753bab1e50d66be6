# python tools/train.py configs/aimclr_nwucla.py
# Compared on the training part alone (subjects 3 and 7 of `train` held out), in single short runs: queue or in-batch
# negatives, momentum, learning rate, batch size, pooling. The rest was set beforehand; see docs/small_data.md.
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/views/front.py',
    '_base_/models/aimclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    query=_base_.weak, key=_base_.weak, extreme=_base_.strong)))
train_cfg = dict(by_epoch=True, max_epochs=110)
