# python tools/train.py configs/mampmasked_ntu120.py [--amp] [--cfg-options data.split=xset]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu120.py',
    '_base_/pipelines/frames120.py',
    '_base_/models/mamp.py',
    '_base_/schedules/mamp_400e.py']
data = dict(pipeline=_base_.frames120)
model = dict(tau=0.75, decoder_depth=5)
