# python tools/train.py configs/byol_ntu60.py [--amp] [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu60.py',
    '_base_/models/byol.py',
    '_base_/schedules/sgd_300e.py']
