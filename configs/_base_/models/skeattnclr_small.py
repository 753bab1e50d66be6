# SkeAttnCLR for a few thousand clips or fewer: as skeletonclr_small.py. The swapped region is as large, in share of the
# clip, as the published one.
_base_ = 'skeletonclr_small.py'
model = dict(
    type='SkeAttnCLR',
    predictor_channels=128,
    attention=dict(heads=8, sharpness=2.0),
    local_weight=0.5)
