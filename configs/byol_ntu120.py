# python tools/train.py configs/byol_ntu120.py [--amp] [--cfg-options data.split=xset]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu120.py',
    '_base_/models/byol.py',
    '_base_/schedules/sgd_300e.py']
