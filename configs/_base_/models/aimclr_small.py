# AimCLR for a few thousand clips or fewer: like skeletonclr_small.py. Nearest neighbours are never mined, because in
# such a short run the early ones are wrong.
_base_ = 'skeletonclr_small.py'
model = dict(type='AimCLR', ddm_weight=0.5, mining_epoch=None)
