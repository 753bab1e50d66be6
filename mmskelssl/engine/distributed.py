"""Several processes: groups on machines without a GPU, and equal shares of work."""
import os

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from torch import distributed
from torch.utils.data import DataLoader

from mmskelssl.errors import UserError


def is_first_process() -> bool:
    """Is this the rank that writes? Known before any process group is up."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0


def process_count(launcher: str) -> int:
    """Number of processes of the run. Known before any process group is up."""
    variable = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS').get(launcher, '')
    return int(os.environ.get(variable, 1))


def prepare_distributed(cfg: Config) -> None:
    """Make ``--launcher pytorch`` work on CPU: start gloo, and wrap the model without device ids.

    mmengine would call ``torch.cuda.set_device``; it skips that where a process group is up already. With
    ``sync_bn='torch'`` batch norm takes the statistics of all processes: torch's own on GPUs, ours on CPUs.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    wrapper = {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False, **(cfg.get('model_wrapper_cfg') or {})}
    if not torch.cuda.is_available():
        if cfg.launcher == 'pytorch' and not distributed.is_initialized():
            distributed.init_process_group('gloo')
        wrapper['device_ids'] = None
        if cfg.pop('sync_bn', None):
            wrapper['type'] = 'mmskelssl.SyncBNDataParallel'  # as mmengine looks in its root alone
    cfg.model_wrapper_cfg = wrapper


def check_equal_shares(loader: DataLoader) -> None:
    """Refuse a sampler that gives ranks different numbers of clips: gradients and queue are joined rank by rank."""
    if get_world_size() > 1 and getattr(loader.sampler, 'round_up', True) is False:
        raise UserError(f'train_dataloader.sampler: with round_up=False the {get_world_size()} processes would get '
                        'different numbers of clips, and wait for each other for ever: leave it at True')
