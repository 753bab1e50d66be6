"""Hooks of mmengine's Runner."""
from mmskelssl.engine.hooks.knn_hook import KNNHook
from mmskelssl.engine.hooks.plain_checkpoint_hook import PlainCheckpointHook
from mmskelssl.engine.hooks.progress_bar import ProgressBarHook
from mmskelssl.engine.hooks.training import (
    AugmentCurriculumHook,
    FillQueueHook,
    InitFromHook,
    ProgressHook,
    RunInfoHook,
)

__all__ = ['AugmentCurriculumHook', 'FillQueueHook', 'InitFromHook', 'KNNHook', 'PlainCheckpointHook',
           'ProgressBarHook', 'ProgressHook', 'RunInfoHook']
