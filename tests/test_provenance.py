"""Provenance recorded in checkpoints and results."""
import sys

import pytest

from mmskelssl.provenance import MAX_COMMAND, command_line, short_command, without_folders


@pytest.mark.parametrize('argv, text', [
    (['tools/evaluate.py', 'knn', 'a b.pth'], "python tools/evaluate.py knn 'a b.pth'"),
    (['/venv/bin/mmskelssl', 'evaluate', 'knn'], 'mmskelssl evaluate knn'),
    (['/venv/lib/mmskelssl/__main__.py', 'evaluate', 'knn'], 'mmskelssl evaluate knn')])
def test_the_command_can_be_typed_again(argv, text, monkeypatch):
    monkeypatch.setattr(sys, 'argv', argv)
    assert command_line() == text


def test_secrets_are_not_recorded(monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'from the environment')
    monkeypatch.setattr(sys, 'argv', ['mmskelssl', 'train', 'c.py', '--cfg-options', 'vis.init.api_key=abc def',
                                      'hub.auth_token=ghi', 'model.mask_tokens=zero', '--password=jkl'])
    text = command_line()
    assert not any(secret in text for secret in ('abc', 'def', 'ghi', 'jkl', 'environment'))
    assert "'vis.init.api_key=***'" in text and 'model.mask_tokens=zero' in text


def test_a_command_in_a_checkpoint_is_a_short_line(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmskelssl', 'train', 'two\nlines\x1b[31m', *['x' * 99] * 99])
    text = short_command()
    assert text.isprintable() and len(text) == MAX_COMMAND and text.endswith('…')


@pytest.mark.parametrize('command, text', [
    ('mmskelssl train a.py --work-dir /home/ann/runs/one data.store=/data/ann/ucla',
     'mmskelssl train a.py --work-dir …/one data.store=…/ucla'),
    ("python ../ann/tools/train.py configs/a.py 'data.stores=[/home/ann/x,~/y]'",
     "python …/train.py configs/a.py 'data.stores=[…/x,~/y]'"),
    ('mmskelssl train a.py data.store=/ucla optim_wrapper.optimizer.lr=1/3',
     'mmskelssl train a.py data.store=/ucla optim_wrapper.optimizer.lr=1/3')])
def test_folders_of_a_user_are_left_out(command, text):
    assert without_folders(command) == text
