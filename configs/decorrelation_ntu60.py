# python tools/train.py configs/decorrelation_ntu60.py [--amp] [--cfg-options data.split=xview]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu60.py',
    '_base_/pipelines/frames64.py',
    '_base_/models/decorrelation.py',
    '_base_/schedules/adam_451e.py']
data = dict(pipeline=_base_.frames64)
train_dataloader = dict(batch_size=384)
