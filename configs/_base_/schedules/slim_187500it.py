# SLiM's schedule (docs/methods.md 9.4): 187,500 iterations with batches of 768, of which the rate 2e-4 sqrt(768 / 1024)
# follows; for another global batch, change it accordingly. The weight decay rises. Embedding of patches: a fifth of the
# rate. The gradients of the encoder and of each head are clipped separately.
optim_wrapper = dict(
    type='PartsOptimWrapper',
    optimizer=dict(type='AdamW', lr=1.732e-4, betas=(0.9, 0.999), weight_decay=0.04),
    clip_grad=dict(max_norm=3),
    clip_parts=['backbone', 'heads.cls', 'heads.patch'],
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={
        'backbone.patch.weight': dict(lr_mult=0.2), 'backbone.patch.bias': dict(lr_mult=0.2, decay_mult=0.0)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=25_000),
    dict(type='CosineAnnealingLR', eta_min_ratio=1e-6 / 1.732e-4, by_epoch=False, begin=25_000, end=187_500),
    dict(type='CosineAnnealingParamScheduler', param_name='weight_decay', eta_min_ratio=5.0, by_epoch=False, begin=0,
         end=187_500)]
