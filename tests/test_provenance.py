"""Provenance recorded in results."""
import sys

import pytest

from mmskelssl.provenance import command_line


@pytest.mark.parametrize('argv, text', [
    (['tools/evaluate.py', 'knn', 'a b.pth'], "python tools/evaluate.py knn 'a b.pth'"),
    (['/venv/bin/mmskelssl', 'evaluate', 'knn'], 'mmskelssl evaluate knn'),
    (['/venv/lib/mmskelssl/__main__.py', 'evaluate', 'knn'], 'mmskelssl evaluate knn')])
def test_the_command_can_be_typed_again(argv, text, monkeypatch):
    monkeypatch.setattr(sys, 'argv', argv)
    assert command_line() == text
