# python tools/train.py examples/plugin/alignuniform_toy.py
_base_ = [
    '../../configs/_base_/runtime.py',
    '../../configs/_base_/datasets/toy.py',
    '../../configs/_base_/views/around.py',
    '../../configs/_base_/schedules/adamw.py']
custom_imports = dict(imports=['skelplug'])
data = dict(
    type='LongClips',
    min_frames=40,
    pipeline=[
        dict(type='SelectPersons', max_persons=2),
        dict(type='AlignSequence', turn=False),
        dict(type='SmoothFrames', width=3),
        dict(type='ResizeFrames', frames=24),
        dict(type='PackSkeleton')])
_view = [*_base_.weak, dict(type='PartDrop', p=0.5)]
model = dict(
    type='AlignUniform',
    backbone=dict(type='TemporalConvNet', num_persons=2, channels=(64, 64, 128, 128)),
    projector=dict(hidden_channels=256, out_channels=128),
    pooling='mean_max',
    data_preprocessor=dict(type='SkeletonPreprocessor', views=dict(first=_view, second=_view)))
default_hooks = dict(weight_norm=dict(type='WeightNormHook'))
train_cfg = dict(by_epoch=True, max_epochs=16)
