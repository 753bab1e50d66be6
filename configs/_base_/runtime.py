# Settings that all runs share: hooks, logs, checkpoints.
default_scope = 'mmskelssl'
custom_imports = dict(imports=['mmskelssl.models', 'mmskelssl.datasets', 'mmskelssl.engine'])

# `default_hooks.NAME.OPTION` changes an option of a hook. timer, logger, knn and progress_bar may be None; the others
# are in every run. Add further hooks under a new name here, or to the list `custom_hooks`.
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='TimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    logger=dict(type='LoggerHook', interval=10),
    checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=2),
    progress=dict(type='ProgressHook'),
    knn=dict(type='KNNHook', interval=5, k=[1, 20]),
    progress_bar=dict(type='ProgressBarHook'),
    non_finite=dict(type='NonFiniteHook'),
    plain_checkpoint=dict(type='PlainCheckpointHook'))
randomness = dict(seed=0, deterministic=False)  # `--seed` takes precedence
sync_bn = 'torch'  # over all processes: statistics per process would distinguish a key from its negatives
log_processor = dict(window_size=10)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
env_cfg = dict(
    dist_cfg=dict(backend='nccl', timeout=600),  # seconds that a process waits for another
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
log_level = 'INFO'
