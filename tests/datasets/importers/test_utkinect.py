"""UTKinect's joint and label files, with the irregularities of the published ones."""
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.errors import UserError


def load(path, out):
    with StoreWriter(out) as writer:
        IMPORTERS['utkinect'](str(path), writer)
    store = SkeletonStore(out)
    return store, {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


def joints(number, seed=0):
    return np.random.default_rng([seed, number]).normal(size=60).round(4)


def rows(numbers, seed=0):
    return ''.join(f'{n}  ' + ' '.join(map(str, joints(n, seed))) + ' \n' for n in numbers)


LABELS = """s01_e01
walk: 10 14
sitDown: 16 20\u0020\u0020
standUp: NaN NaN
pickUp: 24 22
carry: 900 950
throw: 14 14
dance: 10 12
push: 10
s06_e02
walk: 1 3
s09_e01
walk: 1 2
"""


def write(folder):
    (folder / 'joints').mkdir(parents=True)
    (folder / 'actionLabel.txt').write_text(LABELS)
    text = rows([10, 11, 12, 14, 16, 18, 20, 22, 24]) + rows([18], seed=5)  # 18 appears twice
    (folder / 'joints' / 'joints_s01_e01.txt').write_text(text)
    (folder / 'joints' / 'joints_s06_e02.txt').write_text(rows([1, 2, 3]).replace('\n', '\r\n'))
    return folder


def test_segments_and_traps(tmp_path):
    store, skipped = load(write(tmp_path / 'raw'), tmp_path / 's')
    assert store.ids == ['s01_e01_walk', 's01_e01_sitDown', 's01_e01_throw', 's06_e02_walk']
    assert store.labels.tolist() == [0, 1, 5, 0] and [s['subject'] for s in store.samples] == [1, 1, 1, 6]
    expected = [joints(n).reshape(20, 3) for n in (10, 11, 12, 14)]  # both ends are included; 13 is missing
    np.testing.assert_allclose(store.keypoints(0)[0], expected, atol=1e-6)
    np.testing.assert_allclose(store.keypoints(1)[0, 1], joints(18, 5).reshape(20, 3), atol=1e-6)  # the last counts
    assert store.splits['xsub_train'] == store.ids[:3] and store.splits['test'] == store.ids[3:]
    assert skipped == {
        's01_e01_standUp': "its range 'NaN NaN' is not two frame numbers",
        's01_e01_pickUp': 'its range 24 22 ends before it begins',
        's01_e01_carry': 'no frame in 900..950; the recording has 10..24',
        's01_e01_dance': "'dance' is none of the actions", 's01_e01_push': "its range '10' is not two frame numbers",
        's09_e01_walk': 'actionLabel.txt names it, but it has no joints'}


def test_bad_recordings_are_listed(tmp_path):
    raw = write(tmp_path / 'raw')
    first = raw / 'joints' / 'joints_s01_e01.txt'
    for content, reason in ((first.read_text()[:300], 'line 1 has'), ('', 'has no frames'), ('\0\n', 'it is not text'),
                            (rows([10]).replace(str(joints(10)[3]), 'x'), "line 1: .*'x'"),
                            (rows([10]).replace('10 ', '9' * 30, 1), 'out of range')):
        first.write_text(content)
        (raw / 'joints' / 'joints_extra.txt').write_text('')
        with StoreWriter(tmp_path / 's', overwrite=True) as writer:
            IMPORTERS['utkinect'](str(raw), writer)
        skipped = {entry['id']: entry['reason'] for entry in writer.skipped}
        assert [sample['id'] for sample in writer.samples if 's06' in sample['id']] == ['s06_e02_walk']
        why = skipped.get('joints/joints_s01_e01.txt', skipped.get('s01_e01_walk'))
        assert re.search(reason, why), why
        assert skipped['joints/joints_extra.txt'] == 'the name is not joints_sXX_eXX.txt'


@pytest.mark.parametrize('word', ['nan', 'inf', '1e99'])
def test_a_gap_is_filled_and_noted(tmp_path, word):
    raw = write(tmp_path / 'raw')
    (raw / 'joints' / 'joints_s01_e01.txt').write_text(rows([10, 11, 12]).replace(str(joints(11)[3]), word))
    store, _ = load(raw, tmp_path / 's')
    got = store.keypoints(store.positions['s01_e01_walk'])[0, :, 1]
    np.testing.assert_allclose(got[1], (got[0] + got[2]) / 2, rtol=1e-5)
    assert store.index['provenance']['repaired'][0]['id'] == 's01_e01_walk'


@pytest.mark.parametrize('content, reason', [
    ('walk: 1 2', 'before the first recording'), ('nonsense', "'nonsense' is neither"),
    ('s01_e01\ns01_e01', 'neither')])
def test_a_bad_label_file_is_refused(tmp_path, content, reason):
    raw = write(tmp_path / 'raw')
    (raw / 'actionLabel.txt').write_text(content)
    with pytest.raises(UserError, match=f'actionLabel.txt: .*{reason}'):
        load(raw, tmp_path / 's')
    (raw / 'actionLabel.txt').unlink()
    with pytest.raises(UserError, match='0 files actionLabel.txt'):
        load(raw, tmp_path / 's')


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200) | st.integers(0, 3000).map(lambda n: rows([10, 11, 12])[:n]),
       st.sampled_from(['', 'nan ', '1e400 ', '\r\n', '-5 ', '٣ ']))
def test_any_joint_file_is_imported_or_skipped(tmp_path_factory, text, word):
    raw = write(tmp_path_factory.mktemp('utk') / 'raw')
    (raw / 'joints' / 'joints_s01_e01.txt').write_text(word + text, encoding='utf-8', errors='replace')
    store, skipped = load(raw, raw.parent / 's')
    assert 's06_e02_walk' in store.ids and all(skipped.values()) and len(store) + len(skipped) in (7, 10)
