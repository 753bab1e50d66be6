# The second stage of STARS (docs/methods.md 6.3) as published: a queue of 32,768 projections, no augmentation, and only
# the upper half of the blocks is trained.
_base_ = 'skeleton_vit_base.py'
model = dict(
    type='NNTuning',
    queue_size=32768,
    predictor_channels=4096,
    temperature=0.07,
    frozen=['backbone.patch.', 'backbone.joints', 'backbone.registers',
            *(f'backbone.blocks.{i}.' for i in range(4))],
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(first=[])))
