"""mmskelssl.datasets imports names on first access, and configs still find its types by name."""
import subprocess
import sys
from pathlib import Path

import pytest

from mmskelssl import datasets

CODE = '''
import sys
import mmskelssl.datasets
assert 'torch' not in sys.modules, 'torch is there'
from mmengine.utils import import_modules_from_strings
import_modules_from_strings(['mmskelssl.models', 'mmskelssl.datasets', 'mmskelssl.engine'])
from mmengine import registry as roots
from mmskelssl import registry
for name, kind in dict(DATASETS='SkeletonDataset', TRANSFORMS='PackSkeleton', MODELS='ActCLR', HOOKS='KNNHook',
                       LOOPS='ResumableTrainLoop').items():
    assert getattr(registry, name).get(kind), kind
    assert getattr(roots, name).get(f'mmskelssl.{kind}'), kind
assert roots.FUNCTIONS.get('mmskelssl.whole_batch')
'''


@pytest.mark.slow
def test_a_config_that_imports_the_packages_finds_their_types():
    """Run in a fresh process, in which nothing else has imported them."""
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, timeout=300,
                          cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0, done.stderr[-2000:]


def test_public_names():
    for name in datasets.__all__:
        assert getattr(datasets, name)
    with pytest.raises(AttributeError, match="has no attribute 'SkeletonDatasets'"):
        datasets.SkeletonDatasets  # noqa: B018
