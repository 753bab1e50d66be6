"""Each method has a page, whose algorithm box shows lines of the code in their order."""
import re

import pytest
from doc_commands import ROOT, read

METHODS = sorted(path.stem for path in (ROOT / 'mmskelssl/models/methods').glob('[a-z]*.py'))


def one_line(text: str) -> str:
    return re.sub(r'\s+', ' ', text)


def algorithm(page: str) -> list[str]:
    """Return the code of the algorithm box in its order, one string per pair of backticks in the last column."""
    box = re.search(r'^## Algorithm\n(.*?)^## ', page, re.S | re.M)[1]
    rows = [line for line in box.splitlines() if line.startswith('| ')][1:]
    return [code for row in rows for code in re.findall(r'`([^`]+)`', row.rsplit(' | ', 1)[1])]


def out_of_place(codes: list[str], source: str) -> list[str]:
    """Return the codes that do not follow the previous one in the source."""
    position, lost = 0, []
    for code in codes:
        found = source.find(code, position)
        lost += [code] * (found < 0)
        position = max(position, found)
    return lost


def test_every_method_has_a_page():
    assert {path.stem for path in (ROOT / 'docs/methods').glob('*.md')} == set(METHODS)


@pytest.mark.parametrize('method', METHODS)
def test_the_algorithm_box_is_the_code(method):
    page, source = read(f'docs/methods/{method}.md'), read(f'mmskelssl/models/methods/{method}.py')
    codes = algorithm(page)
    lost = out_of_place(codes, one_line(source))
    assert len(codes) > 1 and not lost
    for name in re.findall(r'^class (\w+)\(', source, re.M):
        assert f'`{name}`' in page
    assert f'`mmskelssl/models/methods/{method}.py`' in page


def test_a_line_that_the_code_lacks_is_found():
    assert out_of_place(['a(b)', 'c', 'a(b)', 'd'], 'a(b) c e') == ['a(b)', 'd']


@pytest.mark.parametrize('method', METHODS)
def test_configs_and_commands_that_a_page_names_exist(method):
    page = read(f'docs/methods/{method}.md')
    for pattern in re.findall(r'\b(?:configs|tools)/[\w/*]+\.py', page):
        assert list(ROOT.glob(pattern)), pattern
