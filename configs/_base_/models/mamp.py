# MAMP (docs/methods.md 6.2) as published for NTU60: nine tenths of the tokens masked, moving ones more often.
# 0.3 rad are 17.2 degrees.
_base_ = 'skeleton_vit_base.py'
model = dict(
    type='MAMP',
    mask_ratio=0.9,
    tau=0.8,
    target='motion',
    standardise=True,
    decoder_channels=256,
    decoder_depth=3,
    decoder_heads=8,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(clip=[
        dict(type='CropResize', scale=(0.5, 1.0)),
        dict(type='TiltRotate', degrees=17.2)])))
