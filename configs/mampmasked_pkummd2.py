# python tools/train.py configs/mampmasked_pkummd2.py [--amp] [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pkummd2.py',
    '_base_/pipelines/frames120.py',
    '_base_/models/mamp.py',
    '_base_/schedules/mamp_400e.py']
data = dict(pipeline=_base_.frames120)
model = dict(decoder_depth=5)
