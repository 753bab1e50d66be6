"""The commands in docs/add_a_*.md run as they stand, shortened, in order; what they link to is there."""
import re
import subprocess
import sys

import pytest
from doc_commands import ROOT, blocks, commands, read, shell, shorten

from mmskelssl.datasets.toy import write_toy_store

GUIDES = ['docs/add_a_method.md', 'docs/add_a_dataset.md']


@pytest.fixture
def place(tmp_path):
    write_toy_store(tmp_path / 'toy', num_samples=96, seed=1, subjects=4)
    return tmp_path


@pytest.mark.parametrize('guide', GUIDES)
def test_commands(guide, place):
    (place / 'data').mkdir()
    for script in blocks(read(guide), 'python'):
        subprocess.run([sys.executable, '-c', script], cwd=place, check=True)
    done = [shell(shorten(command, place)) for command in commands(read(guide))]
    assert len(done) >= 2 and 'BarlowTwins' in done[-1]


@pytest.mark.parametrize('guide', GUIDES)
def test_links(guide):
    for link in re.findall(r'\]\(([^)]+)\)', read(guide)):
        assert (ROOT / 'docs' / link).exists(), link
