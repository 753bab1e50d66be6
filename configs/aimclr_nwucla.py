# python tools/train.py configs/aimclr_nwucla.py
# Chosen on the training part alone (subjects 3 and 7 of `train` held out): sequence and per-frame alignment as input,
# in-batch negatives instead of a queue, momentum 0.9 instead of 0.99, AdamW.
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/nwucla.py',
    '_base_/views/front.py',
    '_base_/models/aimclr_small.py',
    '_base_/schedules/adamw.py']
model = dict(data_preprocessor=dict(alignment='both', views=dict(
    query=_base_.weak, key=_base_.weak, extreme=_base_.strong)))
train_cfg = dict(by_epoch=True, max_epochs=110)
