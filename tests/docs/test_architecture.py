"""Imports run in the order that docs/architecture.md states, and never in a circle."""
import ast
import functools
import re
from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def stated_order() -> dict[str, int]:
    """Return a dict from room to floor. The ground floor is 0."""
    text = (ROOT / 'docs/architecture.md').read_text()
    lines = re.search(r'```imports\n(.*?)```', text, re.DOTALL)[1].split('\n')
    lines = [line.split() for line in lines if line]
    return {room: len(lines) - i for i, line in enumerate(lines) for room in line}


ORDER = stated_order()


def room_of(module: str) -> str | None:
    parts = module.split('.')
    room = '.'.join(parts[:2]) if parts[0] == 'mmskelssl' else parts[0]
    return room if room in ORDER else None


@functools.cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Return every import of a file, at the top or inside a function."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, and every name that it imports from one."""
    found = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert not node.level, f'{path}: relative import'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def climbing(source: str, targets: set[str]) -> list[str]:
    """Return the imports of a module that point to another room on the same floor or above."""
    room = room_of(source)
    if room is None:
        return []
    rooms = {target: room_of(target) for target in targets}
    return [target for target, other in rooms.items() if other and other != room and ORDER[other] >= ORDER[room]]


def modules() -> list[tuple[str, Path]]:
    files = [path for folder in ('mmskelssl', 'tools', 'benchmarks') for path in sorted((ROOT / folder).rglob('*.py'))]
    names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__') for path in files]
    return list(zip(names, files, strict=True))


def test_imports_run_downward():
    found = {name: climbing(name, imported(path)) for name, path in modules()}
    assert {name: targets for name, targets in found.items() if targets} == {}


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of a circle of imports, or an empty list if there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def within(name: str, path: Path, names: set[str]) -> set[str]:
    """Return those of ``names`` that a module imports, also as ``from package import module``."""
    exact = {target if target in names else target.rpartition('.')[0] for target in imported(path)}
    # The package itself loads its functions only when they are first used, and holds the version.
    return (exact & names) - {name, 'mmskelssl'}


def test_no_module_imports_itself_in_a_circle():
    """Also within a room, and with the imports inside functions, which only hide a circle."""
    names = {name for name, _ in modules()}
    assert circle({name: within(name, path, names) for name, path in modules()}) == []


def test_a_circle_is_found(tmp_path):
    (tmp_path / 'a.py').write_text('from room.b import value\n')
    (tmp_path / 'b.py').write_text('value = 1\n\n\ndef use():\n    from room import a\n    return a\n')
    files = {'room.a': tmp_path / 'a.py', 'room.b': tmp_path / 'b.py'}
    assert set(circle({name: within(name, path, set(files)) for name, path in files.items()})) == set(files)


def test_every_room_is_on_a_floor():
    rooms = {'.'.join(name.split('.')[:2]) for name, _ in modules() if name.startswith('mmskelssl.')}
    assert rooms <= set(ORDER)


@pytest.mark.parametrize('source, target', [
    ('mmskelssl.models.base', 'mmskelssl.evaluation.knn'), ('mmskelssl.atomic', 'mmskelssl.errors.UserError'),
    ('mmskelssl.evaluation.features', 'mmskelssl.engine'), ('mmskelssl.engine.train', 'tools.train')])
def test_an_arrow_that_runs_back_is_found(source, target):
    assert climbing(source, {target}) == [target]


def test_modules_that_are_imported_exist():
    """Also those that a function imports, which no other test may run."""
    missing = set()
    for name, path in modules():
        for node in import_statements(path):
            targets = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for target in targets:
                file = ROOT / target.replace('.', '/')
                if target.startswith('mmskelssl.') and not (file.is_dir() or file.with_suffix('.py').is_file()):
                    missing.add(f'{name} imports {target}')
    assert not missing


def test_no_two_test_files_have_one_name():
    """Pytest imports them by their names, so it could not collect them together."""
    names = Counter(path.name for path in (ROOT / 'tests').rglob('*.py') if path.name != 'conftest.py')
    assert [name for name, count in names.items() if count > 1] == []
