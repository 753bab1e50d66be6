# MAMP for a few thousand clips or fewer (a departure from the paper): half the width and depth, a smaller decoder, and
# fewer masked tokens, because short clips have few. The configs add the views of their data.
_base_ = 'skeleton_vit_small.py'
model = dict(
    type='MAMP',
    mask_ratio=0.75,
    tau=0.8,
    decoder_channels=128,
    decoder_depth=2,
    decoder_heads=4,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint'))
