# The second stage of STARS for a few thousand clips or fewer: a queue that is shorter than the data set, and a narrower
# predictor. It trains the upper two of four blocks.
_base_ = 'skeleton_vit_small.py'
model = dict(
    type='NNTuning',
    queue_size=256,
    predictor_channels=512,
    temperature=0.07,
    frozen=['backbone.patch.', 'backbone.joints', 'backbone.registers', 'backbone.blocks.0.', 'backbone.blocks.1.'],
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(first=[])))
