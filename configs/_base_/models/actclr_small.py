# ActCLR for a few thousand clips or fewer: like skeletonclr_small.py, with a threshold that does not depend on the
# batch, and an InfoNCE term next to the similarity KL. With a short queue the KL alone drifts towards a collapse.
# Its configs add `default_hooks = dict(fill_queue=dict(type='FillQueueHook'))`.
_base_ = 'skeletonclr_small.py'
model = dict(
    type='ActCLR',
    mask='actionlet',
    threshold='relative',
    contrast_weight=1.0,
    momentum=dict(momentum=0.99),
    queue_size=512,
    late_epoch=1)
