# SkeAttnCLR for a few thousand clips or fewer: as skeletonclr_small.py; no predictors, and a mask that differs between
# features from the start. The swapped region is as large, in share of the clip, as the published one.
_base_ = 'skeletonclr_small.py'
model = dict(
    type='SkeAttnCLR',
    predictor_channels=None,
    attention=dict(heads=8, sharpness=2.0, init='xavier'),
    local_weight=0.5)
