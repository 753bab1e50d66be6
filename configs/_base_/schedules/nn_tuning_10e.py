# The schedule of STARS' second stage (docs/methods.md 6.3): a constant rate, which falls by 0.45 from each of the upper
# four blocks to the one below it; batch 128.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95)),
    paramwise_cfg=dict(custom_keys={f'backbone.blocks.{i}.': dict(lr_mult=0.45 ** (8 - i)) for i in range(4, 8)}),
    clip_grad=dict(max_norm=3))
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=10)
