# CRRL's schedule for both stages (docs/methods.md 3.4): batch 32 on one device.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, nesterov=False, weight_decay=1e-4))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[18, 50], gamma=0.5)]
train_cfg = dict(by_epoch=True, max_epochs=60)
