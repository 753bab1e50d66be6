# SLiM (docs/methods.md 9): two long views of one person and four short ones inside each of them, masked by semantic
# tubes, 65,536 prototypes for class tokens and for joint tokens. The views of a person: `_first` and `_second` are the
# windows of the long ones. 0.3 rad are 17.2 degrees.
_shared = [
    dict(type='SpatialFlip', p=0.5, mirror=True),
    dict(type='Rescale', p=0.5, amplitude=0.15, centred=True, by='limb'),
    dict(type='TiltRotate', p=0.5, degrees=17.2)]
_window = ['_person', dict(type='CropResize', scale=(0.5, 1.0), frames=64, least=16, sample=True)]
_last = [*_shared, dict(type='GaussianNoise', p=0.5, std=0.01)]
_half = [dict(type='CropResize', scale=(0.35, 0.7), frames=32, least=16, sample=True), *_last]
_quarter = [dict(type='CropResize', scale=(0.15, 0.4), frames=16, least=16, sample=True), *_last]
_eighth = [dict(type='CropResize', scale=(0.05, 0.2), frames=8, least=8, sample=True), *_last]
model = dict(
    type='SLiM',
    backbone=dict(type='SkeletonViT', size='base', segment=8, mlp='swiglu', registers=4, cls_blocks=1),
    head=dict(hidden_channels=2048, bottleneck_channels=256, prototypes=65536, layers=3),
    momentum=dict(momentum=0.994, final_momentum=1.0),
    mask_ratio=(0.5, 0.9),
    masked_views=0.5,
    temperature=0.1,
    teacher_temperature=(0.04, 0.07),
    warmup=0.2,
    patch_weight=1.0,
    koleo_weight=0.1,
    frozen_prototypes=1 / 150,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(
        first=['_first', *_shared, dict(type='GaussianNoise', p=1.0, std=0.01)],
        second=['_second', *_shared, dict(type='GaussianNoise', p=0.1, std=0.05), dict(type='AxisMask', p=0.2)],
        local_1=['_first', *_half], local_2=['_second', *_half],
        local_3=['_first', *_quarter], local_4=['_first', *_quarter],
        local_5=['_second', *_quarter], local_6=['_second', *_quarter],
        local_7=['_first', *_eighth], local_8=['_second', *_eighth],
        _first=_window, _second=_window, _person=[dict(type='PickPerson', origin='spine')])))
