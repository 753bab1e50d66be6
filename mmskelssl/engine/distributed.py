"""Process groups on machines without a GPU."""
import torch
from mmengine.config import Config
from torch import distributed


def prepare_distributed(cfg: Config) -> None:
    """Make ``--launcher pytorch`` work on CPU: start gloo, and wrap the model without device ids.

    mmengine would call ``torch.cuda.set_device``; it skips that where a process group is up already.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    wrapper = {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False, **(cfg.get('model_wrapper_cfg') or {})}
    if not torch.cuda.is_available():
        if cfg.launcher == 'pytorch' and not distributed.is_initialized():
            distributed.init_process_group('gloo')
        wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper
