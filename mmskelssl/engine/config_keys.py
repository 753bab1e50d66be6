"""Lists the top-level keys that users of OpenMMLab know: each is read, or refused with advice on what to write."""

from collections.abc import Mapping

import torch
from mmengine.config import Config

from mmskelssl.engine.config_files import refuse_near_misses, unread_names
from mmskelssl.errors import UserError

# Read only from the config of the last stage: where a recipe writes and where it starts.
OF_THE_LAST_STAGE = ('work_dir', 'load_from', 'resume')
READ = {
    'model', 'data', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks',
    'custom_hooks', 'stages', 'by_stream', 'randomness', 'sync_bn', 'log_processor', 'visualizer', 'env_cfg',
    'log_level', 'custom_imports', 'default_scope', 'auto_scale_lr', 'find_unused_parameters', 'model_wrapper_cfg',
    'compile', 'launcher', 'experiment_name', 'evaluation', 'method_hooks', *OF_THE_LAST_STAGE}
_AFTERWARDS = ('nothing is validated with a loop of mmengine: `default_hooks.knn` measures features during training, '
               'and `python tools/evaluate.py all CKPT` measures a checkpoint')
# Refused unless they are None.
INSTEAD = {
    **dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator',
                     'tta_model'), _AFTERWARDS),
    'data_preprocessor': 'write it as model = dict(data_preprocessor=dict(...))',
    'runner_type': "training needs the project's own runner, which resumes exactly: write a hook, or another "
                   'train_cfg.type derived from ResumableTrainLoop',
    'strategy': 'it belongs to FlexibleRunner; several processes start with --launcher pytorch (tools/dist_train.sh), '
                'and model_wrapper_cfg configures how they share a model'}
# Variables of other projects' configs, and keys of mmcv 1.x. Also refused, unless the config's files use them.
FORMER = dict(
    **dict.fromkeys(('val_pipeline', 'test_pipeline', 'tta_pipeline'), _AFTERWARDS),
    train_pipeline='write data = dict(pipeline=[...])', data_root='write data = dict(store=...)',
    dataset_type='write data = dict(type=...)',
    optimizer='write optim_wrapper = dict(optimizer=dict(...))',
    optimizer_config='write optim_wrapper = dict(clip_grad=..., accumulative_counts=...)',
    lr_config='write param_scheduler = [dict(type=...), ...]', momentum_config='write param_scheduler = [...]',
    runner='write train_cfg = dict(max_epochs=...)', total_epochs='write train_cfg = dict(max_epochs=...)',
    max_epochs='write train_cfg = dict(max_epochs=...)',
    checkpoint_config='write default_hooks = dict(checkpoint=dict(interval=...))',
    log_config='write default_hooks = dict(logger=dict(interval=...)), and visualizer for TensorBoard and others',
    dist_params='write env_cfg = dict(dist_cfg=dict(backend=...))',
    cudnn_benchmark='write env_cfg = dict(cudnn_benchmark=True)',
    mp_start_method='write env_cfg = dict(mp_cfg=dict(mp_start_method=...))',
    opencv_num_threads='write env_cfg = dict(mp_cfg=dict(opencv_num_threads=...))',
    fp16="add --amp, or write optim_wrapper = dict(type='BF16OptimWrapper')",
    resume_from='write load_from = PATH and resume = True, or add --resume PATH',
    auto_resume='write resume = True, or add --resume', seed='write randomness = dict(seed=...), or add --seed',
    deterministic='write randomness = dict(deterministic=True)', workflow='training is the only workflow; remove it',
    gpu_ids='set CUDA_VISIBLE_DEVICES', device='set CUDA_VISIBLE_DEVICES; an empty value trains on the CPU')
KNOWN = READ | set(INSTEAD) | set(FORMER)


def check_top_level(cfg: Config) -> None:
    """Refuse keys that would be ignored, and names that look like a misspelt key.

    Raises:
        UserError: If there is such a key. The message says what to write instead.
    """
    for key, advice in INSTEAD.items():
        if cfg.get(key) is not None:
            raise UserError(f'{cfg.filename}: {key} is not read: {advice}')
    for key in unread_names(cfg, READ | set(INSTEAD)):
        if key in FORMER and cfg[key] is not None:
            raise UserError(f'{cfg.filename}: {key} is not read: {FORMER[key]}')
    refuse_near_misses(cfg, KNOWN, READ | set(INSTEAD))


def other_names(cfg: Config) -> list[str]:
    """Return the top-level names of the user's files that nothing reads, for the log."""
    return unread_names(cfg, KNOWN)


def check_run_keys(stages: list[tuple[str, Config]], launcher: str) -> None:
    """Refuse keys that a training run would ignore or cannot support.

    These are a starting point for an earlier stage, a launcher other than that of the command line, a scope other than
    the package's, and float16 without a GPU.
    """
    for name, cfg in stages[:-1]:
        for key in ('load_from', 'resume'):
            if cfg.get(key):
                raise UserError(f'{cfg.filename}: {key} of the stage {name!r} is not read: write it in the config of '
                                'the last stage')
    for _, cfg in stages:
        if cfg.get('launcher') not in (None, 'none', launcher):
            raise UserError(f'{cfg.filename}: launcher = {cfg.launcher!r} is not read: start the processes with '
                            'tools/dist_train.sh or tools/slurm_train.sh, which give --launcher')
        scope = cfg.get('default_scope', 'mmskelssl')
        if scope != 'mmskelssl':
            raise UserError(f"{cfg.filename}: default_scope = {scope!r}: it must be 'mmskelssl'; name a type of "
                            f"another package with its scope, as in type='{scope}.NAME'")
        wrapper = cfg.get('optim_wrapper')
        if isinstance(wrapper, Mapping) and wrapper.get('type') == 'AmpOptimWrapper' and not torch.cuda.is_available():
            raise UserError(f'{cfg.filename}: optim_wrapper.type: AmpOptimWrapper (float16) needs a GPU; write '
                            'BF16OptimWrapper, which works on CPUs, too')


def start_of(cfg: Config, resume: str | None, init_from: str | None) -> tuple[str | None, str | None]:
    """Return ``--resume`` and ``--init-from``, or their equivalents from ``load_from`` and ``resume`` in the config.

    Args:
        cfg: Config of the last stage.

    Returns:
        The checkpoint to continue (``auto`` for the newest one), and the checkpoint to start from.
    """
    if resume or init_from:
        return resume, init_from
    path, again = cfg.get('load_from'), cfg.get('resume', False)
    if not isinstance(again, bool) or not isinstance(path, str | None):
        raise UserError(f'{cfg.filename}: resume is {again!r} and load_from {path!r}; they must be True or False, '
                        'and a path or None')
    return (path or 'auto', None) if again else (None, path)


