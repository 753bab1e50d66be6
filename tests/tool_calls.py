"""Calls of the scripts in tools/ in this process."""
import sys

import pytest


def run(monkeypatch, tool, *arguments) -> None:
    """Run the ``main`` of a module of tools/ with these arguments."""
    monkeypatch.setattr(sys, 'argv', ['tool', *map(str, arguments)])
    tool.main()


def fails(monkeypatch, capsys, tool, *arguments) -> str:
    """Run a tool that must fail, and return the line of its error."""
    with pytest.raises(SystemExit) as error:
        run(monkeypatch, tool, *arguments)
    assert error.value.code == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')][-1]
