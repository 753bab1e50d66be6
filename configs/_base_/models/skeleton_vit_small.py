# SkeletonViT, small: 128 channels, 4 blocks; for a few thousand clips.
model = dict(backbone=dict(type='SkeletonViT', size='small', segment=4))
