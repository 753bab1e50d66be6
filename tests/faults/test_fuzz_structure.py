"""Sound files of unsound content, a few seconds; tests/faults/fuzz_structure.py runs for as long as one likes."""
import pytest


@pytest.mark.slow
@pytest.mark.fault('F37', 'checkpoints and annotation pickles with values of any kind at any place, by Hypothesis')
@pytest.mark.parametrize('kind', ['checkpoint', 'annotations'])
def test_no_content_breaks_a_reader(kind, tmp_path, record_property, lost):
    pytest.importorskip('hypothesis', reason='hypothesis is not installed')
    from fuzz_structure import run
    counts = run(kind, 80, str(tmp_path))
    assert counts['refused'] > 5 and counts['read'] > 0, counts
    record_property('tried', sum(counts.values()))
    lost('nothing')
