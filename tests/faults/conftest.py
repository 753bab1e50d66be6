"""Fixtures of the fault tests. Each test is marked with the fault that it injects, and ``table.py`` counts them."""
import json
import shutil
import subprocess

import pytest


def pytest_configure(config):
    config.addinivalue_line('markers', 'fault(name, what): injects the fault of that name; counted in '
                                       'docs/reliability.md')


@pytest.fixture
def lost(record_property):
    """Record what was lost because of the fault."""
    return lambda text: record_property('lost', text)


@pytest.fixture
def own_store(tiny_store, tmp_path):
    """A copy of the tiny store that a test may damage."""
    return str(shutil.copytree(tiny_store, tmp_path / 'store', ignore=shutil.ignore_patterns('cache')))


@pytest.fixture
def manifest():
    return lambda work_dir: json.loads((work_dir / 'manifest.json').read_text())


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that mounts a file system of a given number of bytes. This needs the permission to mount."""
    mounted = []

    def make(size: int):
        folder = tmp_path / 'small_disk'
        folder.mkdir()
        command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f'a tmpfs cannot be mounted here: {getattr(error, "stderr", error)}')
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(['umount', str(folder)], check=True)
