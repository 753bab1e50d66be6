"""mmskelssl: self-supervised learning on human skeletons.

The names in ``__all__`` are those of :mod:`mmskelssl.apis`. They are imported when they are first used, so that
``import mmskelssl`` takes no time.
"""

__version__ = '0.1.0'

__all__ = ['FeatureExtractor', 'SkeletonClassifier', 'SkeletonFeatures', 'SkeletonStream', 'build_model', 'evaluate',
           'list_configs', 'list_methods', 'train']


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from mmskelssl import apis
    return getattr(apis, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
