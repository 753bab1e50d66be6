"""Any text gives a safe file name, and different texts give different names."""
import os
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmskelssl.names import LONGEST, file_name

HOSTILE = ['', '.', '..', '../x', '/etc/passwd', 'a/../../b', '\0', 'a\nb', '-rf', '~root', '.lock', 'C:\\x',
           '\x1b[31m', '\ud800', '%empty', '%', '%2E', 'x' * 5000, 'x' * 4999 + 'y', '\u00e9' * 200, 'train',
           'cross subject']


@pytest.mark.parametrize('label', HOSTILE, ids=lambda label: repr(label)[:20])
def test_a_hostile_label_is_a_plain_file_name(label, tmp_path):
    name = file_name(label)
    assert re.fullmatch(r'[A-Za-z0-9_%][A-Za-z0-9_.~%-]*', name) and len(name) <= LONGEST
    (tmp_path / f'{name}.npz').touch()
    assert os.listdir(tmp_path) == [f'{name}.npz']


def test_hostile_labels_do_not_collide():
    assert len({file_name(label) for label in HOSTILE}) == len(HOSTILE)


def test_usual_labels_stay_readable():
    assert [file_name(label) for label in ('train', 'xsub', 'skeletonclr-2s_v1.0')] == ['train', 'xsub',
                                                                                       'skeletonclr-2s_v1.0']


@given(st.lists(st.text(), unique=True, max_size=4))
def test_any_texts(labels):
    names = [file_name(label) for label in labels]
    assert len(set(names)) == len(labels)
    for label, name in zip(labels, names, strict=True):
        assert '/' not in name and name not in ('', '.', '..') and name[0] not in '.-~' and len(name) <= LONGEST
        if label and '%-' not in name:
            assert unquote(name) == label
