"""Fixtures of the fault tests. Each test is marked with the fault that it injects; ``table.py`` counts them."""
import json
import shutil

import pytest


def pytest_configure(config):
    config.addinivalue_line('markers', 'fault(name, what): injects the fault of that name; counted in '
                                       'docs/reliability.md')


@pytest.fixture
def lost(record_property):
    """Note what the fault cost, as the test measured it."""
    return lambda text: record_property('lost', text)


@pytest.fixture
def own_store(tiny_store, tmp_path):
    """A copy of the tiny store, to be spoilt."""
    return str(shutil.copytree(tiny_store, tmp_path / 'store', ignore=shutil.ignore_patterns('cache')))


@pytest.fixture
def manifest():
    return lambda work_dir: json.loads((work_dir / 'manifest.json').read_text())
