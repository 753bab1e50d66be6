"""What makes mmengine's Runner train: configs, stages, hooks, safe checkpoints, precision, processes."""
from mmskelssl.engine import hooks
from mmskelssl.engine.loop import ResumableTrainLoop
from mmskelssl.engine.precision import BF16OptimWrapper
from mmskelssl.engine.sync_bn import SyncBNDataParallel

__all__ = ['BF16OptimWrapper', 'ResumableTrainLoop', 'SyncBNDataParallel', 'hooks']
