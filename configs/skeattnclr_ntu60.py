# python tools/train.py configs/skeattnclr_ntu60.py [--amp] [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu60.py',
    '_base_/pipelines/frames64.py',
    '_base_/models/skeattnclr.py',
    '_base_/schedules/sgd_300e.py']
data = dict(pipeline=_base_.frames64)
model = dict(local_weight=1.0)  # for the joint stream of NTU60 only
by_stream = dict(bone=dict(model=dict(local_weight=0.5)), motion=dict(model=dict(local_weight=0.5)))
