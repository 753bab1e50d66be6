"""Encoders, methods and their building blocks."""
from mmskelssl.models import backbones, methods
from mmskelssl.models.base import MomentumContrast, Progress, SelfSupervisedModel
from mmskelssl.models.classifier import FrozenEncoder, SkeletonClassifier
from mmskelssl.models.pool_preprocessor import PoolPreprocessor
from mmskelssl.models.preprocessor import SkeletonPreprocessor

__all__ = ['FrozenEncoder', 'MomentumContrast', 'PoolPreprocessor', 'Progress', 'SelfSupervisedModel',
           'SkeletonClassifier', 'SkeletonPreprocessor', 'backbones', 'methods']
