# python tools/train.py configs/slim_ntu120.py [--amp]
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu120.py',
    '_base_/pipelines/origin64.py',
    '_base_/models/slim.py',
    '_base_/schedules/slim_187500it.py']
data = dict(pipeline=_base_.origin64)
train_dataloader = dict(batch_size=768)
# 187,500 iterations, 82 in each pass over the 63,026 clips of x-sub. The paper's epochs have 1,250 iterations.
train_cfg = dict(by_epoch=True, max_epochs=2287)
default_hooks = dict(checkpoint=dict(interval=152), knn=dict(interval=152))
