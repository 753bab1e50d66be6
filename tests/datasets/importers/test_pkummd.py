"""Synthetic PKU-MMD recordings: intervals, label and split files, damage."""
import re

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers.pkummd import import_pkummd, read_frames, read_split
from mmskelssl.datasets.toy.raw import write_raw
from mmskelssl.errors import UserError


def recording(seed, frames=30, second=range(0)):
    """(T, 150); the second body is present in some frames."""
    rows = np.round(np.random.default_rng(seed).normal(size=(frames, 150)), 5)
    rows[[t for t in range(frames) if t not in second], 75:] = 0
    return rows


def write(folder, recordings, labels, splits=(), newline='\n'):
    for part, files in (('PKU_Skeleton_Renew', recordings), ('Label', labels), ('Split', dict(splits))):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if isinstance(content, np.ndarray):
                content = '\n'.join(' '.join(map(str, row)) for row in content) + '\n'
            content = content if isinstance(content, bytes) else content.replace('\n', newline).encode()
            (folder / part / f'{name}.txt').write_bytes(content)
    return folder


def import_from(folder, out, **options):
    with StoreWriter(out) as writer:
        import_pkummd(str(folder), writer, **options)
    return SkeletonStore(out)


def reasons(store, what='skipped'):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][what]}


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
def test_recordings_are_cut_at_their_labels(tmp_path, newline):
    one, two = recording(1, second=range(10, 14)), recording(2)
    store = import_from(write(tmp_path / 'pku', {'0002-L': one, 'A03N07-M': two},
                              {'0002-L': '1,0,5,2\n51,8,30,1\n', 'A03N07-M': '\n7,3,4,2\n'}, newline=newline),
                        tmp_path / 's')
    assert store.ids == ['0002-L-001', '0002-L-002', 'A03N07-M-002']
    assert store.labels.tolist() == [0, 50, 6] and len(store.classes) == 51 and store.subjects.tolist() == [-1, -1, 7]
    assert [(s['recording'], s['start'], s['end']) for s in store.samples] == [
        ('0002-L', 0, 5), ('0002-L', 8, 30), ('A03N07-M', 3, 4)]
    np.testing.assert_allclose(store.keypoints(0), one[:5, :75].reshape(1, 5, 25, 3), atol=1e-6)
    both = np.stack([one[8:30, :75], one[8:30, 75:]]).reshape(2, 22, 25, 3)  # the second body is present in between
    np.testing.assert_allclose(store.keypoints(1), both, atol=1e-6)
    np.testing.assert_allclose(store.keypoints(2), two[3:4, :75].reshape(1, 1, 25, 3), atol=1e-6)


def test_intervals_that_are_wrong(tmp_path):
    rows = recording(1)
    rows[20:25] = 0
    lines = ['1,0,10,2', '2,10,10,2', '3,12,8,2', '4,25,31,2', '5,-1,4,2', '52,0,4,2', '0,0,4,2', '6,20,25,2', 'what',
             '7,8,12,2', '8,nan,4,2', '9,1e999,4,2', '10', '11,9,11,2']
    store = import_from(write(tmp_path / 'pku', {'0002-L': rows}, {'0002-L': '\n'.join(lines)}), tmp_path / 's')
    assert store.ids == ['0002-L-001', '0002-L-010', '0002-L-014']
    assert reasons(store, 'noted') == {'0002-L-010': 'overlaps 0002-L-001', '0002-L-014': 'overlaps 0002-L-001'}
    wrong = 'is not label,start,end,confidence'
    assert {int(name[-3:]): reason for name, reason in reasons(store).items()} == {
        2: 'label line 2: the interval 10..10 is empty', 3: 'label line 3: the interval 12..8 is reversed',
        4: 'label line 4: the interval 25..31 exceeds the recording of 30 frames',
        5: 'label line 5: the interval -1..4 exceeds the recording of 30 frames',
        6: 'label line 6: label 52 is outside 1..51', 7: 'label line 7: label 0 is outside 1..51',
        8: 'label line 8: no person is visible in 20..25', 9: f"label line 9 {wrong}: 'what'",
        11: f"label line 11 {wrong}: '8,nan,4,2'", 12: f"label line 12 {wrong}: '9,1e999,4,2'",
        13: f"label line 13 {wrong}: '10'"}


def test_gaps_are_mended_and_counted(tmp_path):
    rows = recording(1)
    rows[4, 6:9] = np.nan
    store = import_from(write(tmp_path / 'pku', {'0002-L': rows}, {'0002-L': '1,0,10,2'}), tmp_path / 's')
    assert list(reasons(store, 'repaired')) == ['0002-L-001']
    np.testing.assert_allclose(store.keypoints(0)[0, 4, 2], (rows[3, 6:9] + rows[5, 6:9]) / 2, atol=1e-6)


@pytest.mark.parametrize('content, reason', [
    ('', 'it is empty'), ('1 2 3\n', 'line 1: 3 numbers, expected 150'), (b'\x00', 'it is not text'),
    (' '.join(['1'] * 150) + '\n' + ' '.join(['1'] * 149) + ' x\n', 'line 2: not only numbers in it'),
    (' '.join(['1'] * 150) + '\n' + ' '.join(['1'] * 75), 'line 2: 75 numbers, expected 150')])
def test_damaged_recordings(tmp_path, content, reason):
    folder = write(tmp_path / 'pku', {'0002-L': recording(1), '0003-L': content, '0004-L': recording(2)},
                   {'0002-L': '1,0,5,2', '0003-L': '1,0,5,2', '0005-L': '1,0,5,2'})
    store = import_from(folder, tmp_path / 's')
    assert store.ids == ['0002-L-001']
    got = reasons(store)
    assert got.pop('PKU_Skeleton_Renew/0004-L.txt') == 'it has no label file 0004-L.txt'
    assert got.pop('0005-L') == 'it has a label file, but no skeleton file'
    (name, text), = got.items()
    assert name == 'PKU_Skeleton_Renew/0003-L.txt' and text.startswith(reason)


def test_commas_or_blanks():
    row = ','.join(map(str, range(150)))
    np.testing.assert_array_equal(read_frames(row), read_frames(row.replace(',', '  ') + '\n\n'))
    assert read_frames(row)[1, 0, 0].tolist() == [75, 76, 77]


def test_split_files(tmp_path, capsys):
    names = ['0002-L', '0002-M', '0003-L', 'A01N02-R']
    texts = {'cross-subject': 'Training videos:\n0002-L, 0002-M, \nValidataion videos:\n0003-L, 0099-L, A01N02-R, \n',
             'cross-view': 'Training videos: 0002-M, A01N02-R\n\nTest videos: 0002-L, 0003-L\n'}
    labels = dict.fromkeys(names, '1,0,5,2\n2,5,9,2')
    folder = write(tmp_path / 'pku', {name: recording(i) for i, name in enumerate(names)}, labels, texts.items())
    store = import_from(folder, tmp_path / 's')
    expected = dict(xsub_train=names[:2], xsub_test=names[2:], xview_train=[names[1], names[3]],
                    xview_test=[names[0], names[2]])
    assert store.splits == {split: [f'{name}-00{i}' for name in members for i in (1, 2)]
                            for split, members in expected.items()}
    assert 'no file of the' not in capsys.readouterr().out
    for path in (folder / 'Split').iterdir():
        path.unlink()
    assert import_from(folder, tmp_path / 't').splits == {}
    assert re.findall('xsub|xview', capsys.readouterr().out) == ['xsub', 'xview']
    assert read_split('0001-L') == {}


def test_a_split_file_that_is_no_text(tmp_path):
    folder = write(tmp_path / 'pku', {'0002-L': recording(1)}, {'0002-L': '1,0,5,2'}, {'cross-view': b'\xff\0'}.items())
    with pytest.raises(UserError, match=r'Split/cross-view\.txt: it is not text'):
        import_from(folder, tmp_path / 's')
    with pytest.raises(UserError, match='no skeleton files; the folder should hold'):
        import_from(folder / 'Label', tmp_path / 's')
    assert not (tmp_path / 's').exists()


def test_toy_recordings(tmp_path):
    write_raw('pkummd', str(tmp_path / 'raw'), num_samples=20, seed=2, subjects=4)
    store = import_from(tmp_path / 'raw', tmp_path / 's')
    assert len(store) == 20 and not reasons(store) and sorted(store.splits) == [
        'xsub_test', 'xsub_train', 'xview_test', 'xview_train']
    from mmskelssl.datasets.toy.store import make_sample
    rng = np.random.default_rng([2, 0])
    made = make_sample(rng, 0, 1, int(rng.integers(1, 4)))
    np.testing.assert_allclose(store.keypoints(0)[0], made[0], atol=1e-5)
