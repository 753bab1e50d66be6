"""Each answer of docs/faq.md names a command or a page, and the commands exist."""
import re

import pytest
from doc_commands import ROOT, read

from mmskelssl.cli import COMMANDS
from mmskelssl.evaluation.protocols import PROTOCOLS

PAGE = read('docs/faq.md')
ANSWERS = re.findall(r'^\*\*(.+?)\*\* (.+?)\n(?:\n|\Z)', PAGE, re.M | re.S)


def test_every_paragraph_is_an_answer():
    paragraphs = [part for part in PAGE.split('\n\n')[2:] if not part.startswith('#')]
    assert len(ANSWERS) == len(paragraphs) > 25


@pytest.mark.parametrize('question, answer', ANSWERS, ids=[question for question, _ in ANSWERS])
def test_an_answer_is_short_and_leads_on(question, answer):
    answer = ' '.join(answer.split())
    assert len(answer.split()) < 90 and ('](' in answer or '`' in answer)
    for script in re.findall(r'`(?:python |bash )?(tools/[\w/]+\.(?:py|sh))', answer):
        assert (ROOT / script).is_file(), script
    for command in re.findall(r'`mmskelssl (\w+)', answer):
        assert command in COMMANDS
    for protocol in re.findall(r'tools/evaluate\.py (\w+)', answer):
        assert protocol in {*PROTOCOLS, 'ensemble'}
    for config in re.findall(r'configs/\w+\.py', answer):
        assert (ROOT / config).is_file(), config
