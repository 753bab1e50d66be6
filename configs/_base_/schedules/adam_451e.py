# USDRL's schedule (docs/methods.md 7): batch 384.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=5e-4, weight_decay=1e-5))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[351], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=451)
