"""The command in a config for its store parses, and creates the splits that the config trains on."""
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config

from mmskelssl.cli import make_parser
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.datasets.toy.raw import write_raw
from mmskelssl.engine.config import split_pair

DATASETS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'


@pytest.mark.parametrize('path', sorted(DATASETS.glob('*.py')), ids=lambda path: path.stem)
def test_the_command_parses(path):
    data = Config.fromfile(path).data
    for part in data.get('stores', [data]):
        python, *arguments = shlex.split(part.prepare)
        assert (python, arguments[0]) == ('python', 'tools/prepare_data.py')
        assert make_parser('prepare').parse_args(arguments[1:]).out == part.store


def test_cmu_trains_on_the_split_that_its_importer_makes(tmp_path):
    write_raw('cmu', str(tmp_path / 'raw'), num_samples=8)
    with StoreWriter(str(tmp_path / 'cmu')) as writer:
        IMPORTERS['cmu'](str(tmp_path / 'raw'), writer)
    split = Config.fromfile(DATASETS / 'cmu.py').data.split
    assert set(split_pair(split)) <= set(SkeletonStore(str(tmp_path / 'cmu')).splits)
