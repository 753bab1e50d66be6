# SkeAttnCLR for a few thousand clips or fewer: like skeletonclr_small.py, without predictors, and with a mask that
# differs between features from the start. The swapped region is the same share of the clip as in the published recipe.
_base_ = 'skeletonclr_small.py'
model = dict(
    type='SkeAttnCLR',
    predictor_channels=None,
    attention=dict(heads=8, sharpness=2.0, init='xavier'),
    local_weight=0.5)
