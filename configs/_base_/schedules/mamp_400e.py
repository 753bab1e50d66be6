# MAMP's schedule (docs/methods.md 6.2): batch 128, a warm-up of 20 epochs, then a cosine to half of the rate, stepped
# by iteration. Biases and norms do not decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=20, eta_min=5e-4, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=400)
