"""Wheel and sdist install the same files, including configs and tools, and work outside the checkout."""
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from mmengine.config.utils import _get_cfg_metainfo

from mmskelssl import __version__
from mmskelssl.apis import list_methods
from mmskelssl.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = ('mmskelssl', 'configs', 'tools', 'requirements', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md',
              'LICENSE', 'model-index.yml')


def build(source: Path, what: str, out: Path) -> Path:
    """Run a hook of the build backend in a folder, as pip does."""
    script = f'from setuptools import build_meta; print(build_meta.build_{what}({str(out)!r}))'
    done = subprocess.run([sys.executable, '-c', script], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    """Copy the checkout to build in, because builds leave files behind."""
    folder = tmp_path_factory.mktemp('packaging') / 'checkout'
    folder.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope='module')
def wheel(checkout) -> Path:
    return build(checkout, 'wheel', checkout.parent)


@pytest.fixture(scope='module')
def installed(wheel) -> Path:
    """An environment with the wheel itself, and with the packages that the tests use."""
    folder = wheel.parent / 'venv'
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path('purelib', 'venv', {'base': str(folder)}))
    (site / 'requirements.pth').write_text('\n'.join({sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}))
    subprocess.run([sys.executable, '-m', 'pip', '--python', folder, 'install', '--quiet', '--no-deps', '--no-index',
                    wheel], check=True)
    return folder / 'bin'


def away(tmp_path, *command) -> str:
    """Return the output of a command that runs in another folder and does not see the checkout."""
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith('/RECORD')}


def test_the_wheel_holds_the_package_and_its_configs(wheel):
    found = contents(wheel)
    for folder, where in (('mmskelssl', ''), ('configs', 'mmskelssl/.mim/'), ('tools', 'mmskelssl/.mim/')):
        for path in (ROOT / folder).rglob('*.*'):
            name = f'{where}{path.relative_to(ROOT)}'
            if path.is_file() and '.mim' not in path.parts and '__pycache__' not in path.parts and path.suffix != '.sh':
                assert found.get(name) == path.read_bytes(), name
    assert {'mmskelssl/py.typed', 'mmskelssl/.mim/tools/dist_train.sh', 'mmskelssl/.mim/model-index.yml'} <= set(found)
    assert not [name for name in found if name.endswith(('.pyc', 'quickstart.sh', 'setup_env.sh'))]
    assert {name.partition('/')[0] for name in found} == {'mmskelssl', f'mmskelssl-{__version__}.dist-info'}


def test_the_metadata(wheel):
    found = contents(wheel)
    metadata = Parser().parsestr(found[f'mmskelssl-{__version__}.dist-info/METADATA'].decode())
    assert metadata['Version'] == __version__ and metadata['License-Expression'] == 'Apache-2.0'
    assert metadata['Author'] == 'The mmskelssl developers' and metadata['Requires-Python'] == '>=3.10'
    assert metadata.get_payload() == (ROOT / 'README.md').read_text()
    wanted = [line for name in ('mminstall.txt', 'runtime.txt')
              for line in (ROOT / 'requirements' / name).read_text().split()]
    required = [line.replace(' ', '') for line in metadata.get_all('Requires-Dist') if 'extra' not in line]
    assert [re.split('[<>=]', line)[0] for line in required] == [re.split('[<>=]', line)[0] for line in wanted]
    assert set(metadata.get_all('Provides-Extra')) == {'docs', 'tests', 'optional', 'remote', 'report'}
    assert any(name.endswith('licenses/LICENSE') for name in found)


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(checkout, wheel, tmp_path):
    with tarfile.open(build(checkout, 'sdist', tmp_path)) as archive:
        archive.extractall(tmp_path, filter='data')
    again = build(tmp_path / f'mmskelssl-{__version__}', 'wheel', tmp_path)
    assert contents(again) == contents(wheel)


def test_an_editable_install_links_to_the_checkout(checkout, tmp_path):
    build(checkout, 'editable', tmp_path)
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (checkout / 'mmskelssl' / '.mim' / name).resolve() == (checkout / name).resolve()


@pytest.mark.slow
def test_a_config_of_a_stranger_finds_its_base(installed, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmskelssl::simclr_toy.py'\n")
    script = "from mmskelssl.engine.config import load_config; print(load_config('mine.py')[0][1].filename)"
    assert away(tmp_path, installed / 'python', '-c', script).strip().endswith('mine.py')


@pytest.mark.slow
def test_from_data_to_features_far_from_the_checkout(installed, tmp_path):
    """Prepare, train an epoch, evaluate and embed, in one process, because each command imports torch."""
    commands = [
        'prepare toy --out data/toy --samples 48',
        'train simclr_toy --work-dir run --cfg-options train_cfg.max_epochs=1 train_dataloader.batch_size=8',
        'evaluate knn run/epoch_1.pth --untrained --recipe 1nn --out out',
        'embed run/epoch_1.pth --out features.npz']
    script = f'import sys\nfrom mmskelssl.cli import main\nfor command in {commands!r}:\n    main(command.split())'
    away(tmp_path, installed / 'python', '-c', script)
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())['results']
    assert {row['encoder'] for row in results} == {'untrained', 'SimCLR'}
    assert list(tmp_path.glob('features*')) and 'prepare' in away(tmp_path, installed / 'mmskelssl', '--help')


def test_openmim_finds_every_config(checkout):
    (checkout / 'mim' / '.mim').mkdir(parents=True)
    for name in ('configs', 'model-index.yml'):
        (checkout / 'mim' / '.mim' / name).symlink_to(ROOT / name)
    for path in (ROOT / 'configs').glob('*.py'):
        assert _get_cfg_metainfo(str(checkout / 'mim'), path.name)['Name'] == path.stem
    index = yaml.safe_load((ROOT / 'configs/metafile.yml').read_text())
    assert {model['In Collection'] for model in index['Models']} == {made['Name'] for made in index['Collections']}
    assert all((ROOT / model['Config']).is_file() for model in index['Models'])


def test_every_method_is_cited():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation) and citation['license'] == 'Apache-2.0'
    cited = ' '.join(paper['notes'] for paper in citation['references'])
    # Methods of plug-ins that other tests imported do not count. CRRL's halves are in its paper.
    known = {name for name in list_methods() if MODELS.get(name).__module__.startswith('mmskelssl.')}
    known -= {'CRRLMotion', 'CRRLReconstruct'}
    assert all(name in cited for name in known) and 'CrosSCLR' in cited
    assert all(paper['authors'] and paper['year'] and paper['identifiers'] for paper in citation['references'])


def test_the_image_is_made_of_files_that_exist():
    lines = (ROOT / 'Dockerfile').read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith('COPY ')]
    assert copied == ['requirements/runtime.txt', '.'] and all((ROOT / name).exists() for name in copied)
    assert any(line.startswith('torch') for line in (ROOT / 'requirements/runtime.txt').read_text().splitlines())
    assert 'Apache License' in (ROOT / 'LICENSE').read_text()
