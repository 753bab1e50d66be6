# python tools/train.py configs/skeattnclr_ntu120.py [--amp] [--cfg-options data.split=xset]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu120.py',
    '_base_/pipelines/frames64.py',
    '_base_/models/skeattnclr.py',
    '_base_/schedules/sgd_300e.py']
data = dict(pipeline=_base_.frames64)
