# SkeletonViT, tiny: 64 channels, 4 blocks; for tests and for a first try on a CPU.
model = dict(backbone=dict(type='SkeletonViT', size='tiny', segment=4))
