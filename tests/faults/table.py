"""Run the fault tests and write their results to docs/reliability.md.

    python tests/faults/table.py
"""
import os
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DOC = HERE.parents[1] / 'docs' / 'reliability.md'
HEAD = '| fault | injected | tried | survived | lost |\n|---|---|---|---|---|\n'


class Counter:
    """A pytest plug-in that counts for each fault what was injected, how often, and with what result."""

    def __init__(self):
        self.faults: dict[str, dict] = {}
        self.marks: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items):
        for item in items:
            if mark := item.get_closest_marker('fault'):
                self.marks[item.nodeid] = mark.args

    def pytest_runtest_logreport(self, report):
        if report.nodeid not in self.marks or (report.when != 'call' and not report.failed):
            return
        name, what = self.marks[report.nodeid]
        fault = self.faults.setdefault(name, dict(what=what, tried=0, survived=0, lost=[]))
        properties = dict(report.user_properties)
        if report.skipped:
            return
        tried = int(properties.get('tried', 1))
        fault['tried'] += tried
        fault['survived'] += tried if report.passed else 0
        if 'lost' in properties and properties['lost'] not in fault['lost']:
            fault['lost'].append(properties['lost'])

    def table(self) -> str:
        order = sorted(self.faults, key=lambda name: int(name[1:]))
        cells = [(name, *(str(self.faults[name][key]) for key in ('what', 'tried', 'survived')),
                  '; '.join(self.faults[name]['lost']) or '-') for name in order]
        return HEAD + ''.join(f'| {" | ".join(row)} |\n' for row in cells)


def rows(text: str) -> dict[str, list[str]]:
    """Return a dict from fault to the cells of its row in the document."""
    found = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines()
             if re.match(r'\| F\d+ ', line)]
    return {cells[0]: cells[1:] for cells in found}


def main() -> int:
    os.chdir(HERE.parents[1])
    counter = Counter()
    status = pytest.main([str(HERE), '-m', 'fault', *sys.argv[1:]], plugins=[counter])
    text = DOC.read_text(encoding='utf-8')
    before, after = text.split('<!-- faults -->\n')[0], text.split('<!-- end -->')[1]
    DOC.write_text(f'{before}<!-- faults -->\n{counter.table()}<!-- end -->{after}', encoding='utf-8')
    return int(status)


if __name__ == '__main__':
    sys.exit(main())
