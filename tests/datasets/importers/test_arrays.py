"""Custom arrays: all formats, and all ways to define labels and splits."""
import io
import json
import zipfile

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import import_arrays
from mmskelssl.errors import UserError

JOINTS = 20


def clip(seed=0, *shape):
    return np.random.default_rng(seed).normal(size=shape or (4, JOINTS, 3)).astype(np.float32)


def import_from(path, out, **options):
    with StoreWriter(out) as writer:
        import_arrays(str(path), writer, **dict(dict(layout='kinect20'), **options))
    return SkeletonStore(out)


def reasons(store):
    return {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def csv_of(array, separator=',', header=''):
    rows = array.reshape(len(array), -1).tolist()
    return (header + '\n'.join(separator.join(map(str, row)) for row in rows)).encode()


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize('name, content', [
    ('c.npy', npy(clip())), ('c.NPY', npy(clip()[None])), ('c.npy', npy(clip().astype(np.float64)[:, :, :3])),
    ('c.csv', csv_of(clip())), ('c.csv', csv_of(clip(), '; ', 'x0,y0,z0\r\n\r\n')), ('c.csv', csv_of(clip(), '\t')),
    ('c.json', json.dumps(clip().tolist())), ('c.json', json.dumps(dict(keypoints=clip()[None].tolist(), fps=30))),
    ('c.npz', npz(keypoints=clip()[None], ids=['c'])), ('c.npz', npz(c=clip()))])
def test_formats(tmp_path, name, content):
    store = import_from(write(tmp_path / 'raw', {name: content}), tmp_path / 's')
    assert len(store) == 1 and store.ids[0] in ('c', 'c/c') and store.labels.tolist() == [-1]
    np.testing.assert_allclose(store.keypoints(0), clip()[None], atol=1e-6)
    alone = import_from(tmp_path / 'raw' / name, tmp_path / 'alone')  # the file itself
    np.testing.assert_array_equal(alone.keypoints(0), store.keypoints(0))
    with zipfile.ZipFile(tmp_path / 'raw.zip', 'w') as archive:
        archive.write(tmp_path / 'raw' / name, f'top/{name}')
    zipped = import_from(tmp_path / 'raw.zip', tmp_path / 'zipped')
    np.testing.assert_array_equal(zipped.keypoints(0), store.keypoints(0))


def test_two_dimensions_scores_and_persons(tmp_path):
    pixels = clip(1, 2, 5, 20, 2)
    store = import_from(write(tmp_path / 'raw', {'c.npy': npy(pixels), 'd.npy': npy(clip(2, 5, 20, 3))}),
                        tmp_path / 's', units='px')
    assert store.channels == 2 and store.ids == ['c'] and store.head['units'] == 'px'
    np.testing.assert_array_equal(store.keypoints(0), pixels)
    assert 'its third number is a depth, which the joints of c.npy do not have' in reasons(store)['d.npy']


def test_one_npz_with_everything(tmp_path):
    clips = clip(0, 3, 2, 4, JOINTS, 3)
    (tmp_path / 'all.npz').write_bytes(npz(keypoints=clips, labels=[2, 0, 1], subjects=[1, 2, 3], ids=['a', 'b', 'c']))
    store = import_from(tmp_path / 'all.npz', tmp_path / 's')
    assert store.ids == ['a', 'b', 'c'] and store.labels.tolist() == [2, 0, 1] and store.subjects.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(store.keypoints(2), clips[2])
    (tmp_path / 'plain.npz').write_bytes(npz(keypoints=clips[:, 0]))
    plain = import_from(tmp_path / 'plain.npz', tmp_path / 't')
    assert plain.ids == ['000000', '000001', '000002'] and plain.splits == dict(train=plain.ids)
    (tmp_path / 'bad.npz').write_bytes(npz(keypoints=clips, labels=[1, 2]))
    with pytest.raises(UserError, match=r'3 clips, but labels of shape \(2,\)'):
        import_from(tmp_path / 'bad.npz', tmp_path / 'u')


# --- labels ----------------------------------------------------------------------------------------------------------

def test_labels_from_folders(tmp_path):
    files = {f'class{number}/{name}.npy': npy(clip(number)) for number in (10, 2) for name in 'abcde'}
    raw = write(tmp_path / 'raw', files)
    store = import_from(raw, tmp_path / 's')
    assert store.classes == ['class2', 'class10']
    assert {name: int(label) for name, label in zip(store.ids, store.labels, strict=True)} == {
        name[:-4]: int(name.startswith('class10')) for name in files}
    assert len(store.split('test')) == 2 and set(store.labels[store.split('test')]) == {0, 1}
    assert not set(store.splits['train']) & set(store.splits['test']) and len(store.split('train')) == 8
    assert import_from(raw, tmp_path / 't').data_hash == store.data_hash
    assert import_from(raw, tmp_path / 'u', seed=1).splits != store.splits
    assert len(import_from(raw, tmp_path / 'v', test_share=.4).split('test')) == 4
    assert set(import_from(raw, tmp_path / 'w', labels='none').labels) == {-1}
    assert import_from(raw, tmp_path / 'x', test_share=0).splits == dict(train=store.ids)


TABLE = 'name, label, subject, split\r\na, walk, 3, train\r\nb, sit,, test\r\nsub/c,walk,1,test\r\ne.v1,sit,2,train\r\n'


@pytest.mark.parametrize('where', ['within', 'given', 'in the top folder of a zip'])
def test_labels_from_a_table(tmp_path, where):
    files = {name: npy(clip(i)) for i, name in enumerate(['a.npy', 'b.npy', 'sub/c.npy', 'd.npy', 'deep/e.v1.npy'])}
    raw = write(tmp_path / 'raw', files)
    (tmp_path / ('given.csv' if where == 'given' else 'raw/labels.csv')).write_text(TABLE)
    path, top = raw, ''
    if where.endswith('zip'):
        path, top = tmp_path / 'raw.zip', ''
        with zipfile.ZipFile(path, 'w') as archive:
            for file in raw.rglob('*.*'):
                archive.write(file, f'{top}{file.relative_to(raw)}')
    store = import_from(path, tmp_path / 's', **dict(labels=str(tmp_path / 'given.csv')) if where == 'given' else {})
    assert store.classes == ['sit', 'walk'] and not reasons(store)
    assert dict(zip(store.ids, store.labels.tolist(), strict=True)) == {
        'a': 1, 'b': 0, 'd': -1, 'deep/e.v1': 0, 'sub/c': 1}
    assert store.subjects.tolist() == [3, -1, -1, 2, 1]
    assert store.splits == dict(test=['b', 'sub/c'], train=['a', 'deep/e.v1'])


def test_a_table_in_the_top_folder(tmp_path):
    raw = write(tmp_path / 'raw', {'top/a.npy': npy(clip()), 'top/labels.csv': 'name,label\na,walk\n'})
    store = import_from(raw, tmp_path / 's')
    assert store.classes == ['walk'] and store.labels.tolist() == [0] and store.ids == ['top/a'] and not reasons(store)
    write(raw, {'other/labels.csv': 'name,label\na,sit\n'})
    with pytest.raises(UserError, match='name one table of labels with --labels'):
        import_from(raw, tmp_path / 't')


def test_rows_without_a_clip_are_counted(tmp_path):
    raw = write(tmp_path / 'raw', {'a.npy': npy(clip()), 'broken.npy': b'', 'mylabels.csv': csv_of(clip(1)),
                                   'labels.csv': 'name,label\na,walk\nghost,sit\nbroken,sit\n'})
    store = import_from(raw, tmp_path / 's')
    assert store.ids == ['a', 'mylabels'] and set(reasons(store)) == {'ghost', 'broken.npy'}
    assert reasons(store)['ghost'] == 'the table of labels names it, but there is no such clip'


@pytest.mark.parametrize('table, message', [
    ('', 'its first line should name its columns'), ('a,b\n1,2\n', 'its first line should name'),
    ('name,label\na,x\na,y\n', 'line 3: the name appears twice'), ('name,label\n,x\n', 'line 2: no name'),
    ('name,subject\na,one\n', "line 2: subject 'one' is not a number"),
    ('name,subject\na,²\n', "line 2: subject '²' is not a number"),
    (b'\xff\xfe\x00', 'is UTF-16 text'), ('name\n"' + 'x' * 200000, 'field larger than field limit')])
def test_bad_tables_are_refused(tmp_path, table, message):
    raw = write(tmp_path / 'raw', {'a.npy': npy(clip()), 'labels.csv': table})
    with pytest.raises(UserError, match=message):
        import_from(raw, tmp_path / 's')
    with pytest.raises(UserError, match='no such file'):
        import_from(raw, tmp_path / 's', labels=str(tmp_path / 'none.csv'))
    assert not (tmp_path / 's').exists()


def test_odd_class_names(tmp_path):
    files = {f'{name}/a.npy': npy(clip(i)) for i, name in enumerate(['²', '10', '9', 'é x', 'x²', '٣'])}
    store = import_from(write(tmp_path / 'raw', files), tmp_path / 's', labels='folders')
    assert len(store) == 6 and sorted(store.classes) == sorted(['²', '10', '9', 'é x', 'x²', '٣'])
    assert store.classes.index('9') < store.classes.index('10')


# --- faults ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name, content, reason', [
    ('x.npy', b'', 'No data left'), ('x.npy', npy(clip())[:-8], ''),
    ('x.npy', npy(np.array([{}, 1], object)), 'Object'),
    ('x.npy', npy(np.full((4, 20, 3), 'a')), 'not of numbers'), ('x.npy', npy(clip(0, 4, 25, 3)), r'(4, 25, 3)'),
    ('x.npy', npy(clip(0, 4, 20, 7)), 'C = 2, 3 or 4'), ('x.npy', npy(np.float32(3)), 'shape ()'),
    ('x.npy', npy(clip() * np.nan), 'NaN'), ('x.npy', npy(clip(0, 0, 20, 3)), 'empty'),
    ('x.npy', npy(clip().astype(complex)), 'complex'), ('x.npy', npy(np.zeros((4, 20, 3), bool)), 'bool'),
    ('x.npz', b'', 'zip'), ('x.npz', npz(a=clip())[:-30], 'zip'), ('x.npz', npz(a=np.array([{}], object)), 'Object'),
    ('x.npz', npz(keypoints=np.float32(1)), ''), ('x.csv', '', ''), ('x.csv', '1,2,3\n', 'not 2, 3 or 4 for each'),
    ('x.csv', csv_of(clip()) + b'\n1,2', ''), ('x.csv', csv_of(clip()) + b'\na,b', ''), ('x.json', '', ''),
    ('x.json', '{"a": 1}', 'keypoints'), ('x.json', '[[1, 2], [3]]', ''), ('x.json', '[' * 99999, ''),
    ('x.json', 'null', ''), ('x.json', '[1e999]', 'shape'), ('x.json', b'\xff', 'not text')])
def test_a_bad_file_is_skipped_with_a_reason(tmp_path, name, content, reason):
    store = import_from(write(tmp_path / 'raw', {'good.npy': npy(clip()), name: content}), tmp_path / 's')
    assert store.ids == ['good']
    (skipped, text), = reasons(store).items()
    assert skipped.split('/')[0] in ('x', name) and reason in text and '\n' not in text


def test_options_that_make_no_sense(tmp_path):
    raw = write(tmp_path / 'raw', {'a.npy': npy(clip())})
    for options, message in ((dict(test_share=1), 'test-share'), (dict(test_share=float('nan')), 'test-share'),
                             (dict(layout='ntu99'), 'unknown layout'),
                             (dict(layout=str(tmp_path / 'none.json')), 'cannot be read')):
        with pytest.raises(UserError, match=message):
            import_from(raw, tmp_path / 's', **options)
    with pytest.raises(UserError, match='no .npy, .npz'):
        import_from(write(tmp_path / 'other', {'a.txt': 'x'}), tmp_path / 's')


def test_a_layout_from_a_file(tmp_path):
    layout = dict(name='three', joints=['a', 'b', 'c'], parents=[0, 0, 1], hip=0, shoulders=[1, 2])
    (tmp_path / 'three.json').write_text(json.dumps(layout))
    store = import_from(write(tmp_path / 'raw', {'a.npy': npy(clip(0, 4, 3, 2))}), tmp_path / 's',
                        layout=str(tmp_path / 'three.json'))
    assert store.layout.joints == ('a', 'b', 'c') and store.keypoints(0).shape == (1, 4, 3, 2)
