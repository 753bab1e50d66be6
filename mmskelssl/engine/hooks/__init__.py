"""Hooks for mmengine's Runner."""
from mmskelssl.engine.hooks.checkpoint_hook import CheckpointHook
from mmskelssl.engine.hooks.knn_hook import KNNHook
from mmskelssl.engine.hooks.non_finite_hook import NonFiniteHook
from mmskelssl.engine.hooks.plain_checkpoint_hook import PlainCheckpointHook
from mmskelssl.engine.hooks.progress_bar import ProgressBarHook
from mmskelssl.engine.hooks.timer import TimerHook
from mmskelssl.engine.hooks.training import (
    AugmentCurriculumHook,
    FillQueueHook,
    InitFromHook,
    ProgressHook,
    RunInfoHook,
)

__all__ = ['AugmentCurriculumHook', 'CheckpointHook', 'FillQueueHook', 'InitFromHook', 'KNNHook', 'NonFiniteHook',
           'PlainCheckpointHook', 'ProgressBarHook', 'ProgressHook', 'RunInfoHook', 'TimerHook']
