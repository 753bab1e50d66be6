"""The commands that change, reduce and convert stores, run from the command line."""
import pytest

from mmskelssl.cli import main
from mmskelssl.datasets import SkeletonStore
from tests.conftest import write_tiny_store


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tiny_store(tmp_path / 's', 'kinect20', 1, samples=24)
    write_tiny_store(tmp_path / 'o', 'sbu15', 1, samples=12)

    def call(line: str, status: int = 0) -> str:
        try:
            main(line.split())
        except SystemExit as end:
            assert (end.code or 0) == status
        else:
            assert status == 0
        captured = capsys.readouterr()
        return captured.out + captured.err

    return call


def test_split_relabel_and_subset(run, tmp_path):
    assert "has a split 'train' already" in run('prepare split s --share 0.2', 2)
    assert 'drawn by subject with seed 3' in run('prepare split s --share 0.25 --seed 3 --by subject --name mine')
    (tmp_path / 'labels.csv').write_text('name,label\nclip000,new\n')
    assert 'new 1' in run('prepare relabel s labels.csv')
    assert 'one 1' in run('prepare relabel s --rename new=one')
    assert 'imported 1,' in run('prepare subset s --classes one --out part')
    assert 'imported 5,' in run('prepare subset s --subjects 1 2 --count 5 --seed 1 --out five')
    assert 'needs a condition' in run('prepare subset s --out none', 2)
    assert [edit['command'] for edit in SkeletonStore('s').index['provenance']['edits']] == ['split'] + 2 * ['relabel']


def test_convert_and_merge(run):
    assert 'neck = 0.67 shoulder_centre + 0.33 head' in run('prepare convert s --to ntu25 --out ntu')
    assert 'no counterpart for left_hand_tip' in run('prepare convert s --to ntu25 --missing refuse --out no', 2)
    assert '--names' in run('prepare merge s o --out pool', 2)
    assert 'imported 36' in run('prepare merge s o --to sbu15 --out pool')
    assert 'imported 36' in run('merge s o --names --out names')
    assert SkeletonStore('names').layout.name == 'union21'


def test_verify_near(run):
    assert 'near duplicates' not in run('verify s')
    assert run('verify s --near') == run('prepare verify s --near 0.05')
    assert 'above 0 and below 1' in run('prepare verify s --near 2', 2)


def test_verify_across_stores(run, tmp_path):
    """Copies in another layout are found by their common joints, and so are those in a test split."""
    run('prepare convert s --to ntu25 --out ntu')
    tested = len(SkeletonStore('s').splits['test'])
    text = run('verify s ntu o --near')
    assert ('near duplicates across stores: 24 of 24 samples of s move like one of ntu (distance up to 0.05); in '
            f'{tested} of these pairs, one is in a test split' in text) and '(clip000 like clip000, 0.000' in text
    assert 'of o' not in text and text.count('across stores') == 2  # the heading, and the finding above
    assert 'across stores' not in run('verify s ntu o')
    write_tiny_store(tmp_path / 'face', 'face68', 1, samples=4)
    assert 's and face were not compared: only 0 joints in common' in run('verify s face --near')
    assert 'a store is named twice' in run('verify s s', 2)
