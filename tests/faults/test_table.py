"""docs/reliability.md lists everything that these tests inject, and that all of it was survived."""
import re

from table import DOC, HERE, rows


def injected() -> dict[str, str]:
    """Return a dict from fault to what is injected, from the marks of the tests."""
    found = {}
    for path in sorted(HERE.glob('test_*.py')):
        for name, parts in re.findall(r"mark\.fault\('(F\d+)',\s*((?:'[^']*'\s*)+)\)", path.read_text('utf-8')):
            found[name] = ''.join(re.findall(r"'([^']*)'", parts))
    return found


def test_every_fault_has_a_test():
    assert set(injected()) == set(rows(DOC.read_text(encoding='utf-8')))


def test_the_table_is_that_of_these_tests():
    table = rows(DOC.read_text(encoding='utf-8'))
    assert {name: cells[0] for name, cells in table.items()} == injected()
    for name, (_, tried, survived, lost) in table.items():
        assert tried == survived and lost and (int(tried) > 0 or name == 'F24'), name
