"""Puts configs and tools into `mmskelssl/.mim`, where OpenMMLab's tools look. The metadata is in pyproject.toml."""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'model-index.yml')
OF_THE_CHECKOUT = ('__pycache__', 'ablations.sh', 'make_zoo.sh', 'quickstart.sh', 'run_tests.sh', 'setup_env.sh')


class BuildWithMim(build_py):
    """A wheel holds copies. An editable install (``pip install -e .``) gets links, so that edits take effect."""

    def run(self):
        super().run()
        mim = (ROOT if self.editable_mode else Path(self.build_lib)) / 'mmskelssl' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in SHIPPED:
            if self.editable_mode:
                (mim / name).symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, mim / name, ignore=shutil.ignore_patterns(*OF_THE_CHECKOUT))
            else:
                shutil.copy(ROOT / name, mim / name)


setup(cmdclass={'build_py': BuildWithMim})
