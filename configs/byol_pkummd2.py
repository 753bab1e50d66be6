# python tools/train.py configs/byol_pkummd2.py [--amp] [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pkummd2.py',
    '_base_/models/byol.py',
    '_base_/schedules/sgd_300e.py']
