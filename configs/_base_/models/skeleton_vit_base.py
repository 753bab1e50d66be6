# SkeletonViT, base: 256 channels, 8 blocks, 6.4 million parameters; the size that MAMP, STARS and SLiM publish.
model = dict(backbone=dict(type='SkeletonViT', size='base', segment=4))
