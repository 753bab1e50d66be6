# ActCLR for a few thousand clips or fewer: as aimclr_small.py, with a threshold that does not depend on the batch and
# an InfoNCE term beside the similarity KL, which alone drifts to a collapse where the queue is short.
_base_ = 'skeletonclr_small.py'
_weak = [
    dict(type='CropResize', scale=(0.5, 1.0)),
    dict(type='YawRotate', degrees=45),
    dict(type='LinearJitter', std=0.1),
    dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01),
    dict(type='JointMask', ratio=0.15)]
model = dict(
    type='ActCLR',
    mask='actionlet',
    threshold='relative',
    contrast_weight=1.0,
    momentum=dict(momentum=0.99),
    queue_size=512,
    late_epoch=1,
    data_preprocessor=dict(views=dict(_delete_=True, weak=_weak, key=_weak, normal=_weak, strong=[
        *_weak,
        dict(type='SpatialFlip', p=0.5, mirror=True),
        dict(type='AxisMask', p=0.3),
        dict(type='GaussianNoise', p=0.5, std=0.03)])))
method_hooks = [dict(type='FillQueueHook')]
