# The lineage's schedule (docs/methods.md 1.4): batch 128 on one device. For another global batch,
# change the rate accordingly.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=False, weight_decay=1e-4))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[250], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=300)
