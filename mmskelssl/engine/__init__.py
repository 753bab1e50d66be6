"""Training with mmengine's Runner: configs, stages, hooks, safe checkpoints, precision and processes."""
from mmskelssl.engine import hooks
from mmskelssl.engine.loop import ResumableTrainLoop
from mmskelssl.engine.precision import BF16OptimWrapper, PartsOptimWrapper
from mmskelssl.engine.sync_bn import SyncBNDataParallel

__all__ = ['BF16OptimWrapper', 'PartsOptimWrapper', 'ResumableTrainLoop', 'SyncBNDataParallel', 'hooks']
