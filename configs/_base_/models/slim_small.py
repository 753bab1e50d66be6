# SLiM for a few thousand clips or fewer (a departure from the paper; docs/small_data.md): half the width and depth, 512
# prototypes, which are assigned together with recent class tokens, and two short views. The heads of the published size
# would cost more than this encoder. The configs add the views of their data.
model = dict(
    type='SLiM',
    backbone=dict(type='SkeletonViT', size='small', segment=8, mlp='swiglu', registers=0, cls_blocks=1),
    head=dict(hidden_channels=512, bottleneck_channels=128, prototypes=512, layers=3),
    momentum=dict(momentum=0.99, final_momentum=1.0),
    mask_ratio=(0.5, 0.9),
    masked_views=0.5,
    temperature=0.1,
    teacher_temperature=(0.04, 0.07),
    warmup=0.2,
    koleo_weight=0.1,
    frozen_prototypes=0.01,
    queue_size=512,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
