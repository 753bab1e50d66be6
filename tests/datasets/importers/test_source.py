"""Files of folders and archives: listing, reading and refusals."""
import os
import pickle
import zipfile

import pytest

from mmskelssl.datasets.importers import source as module
from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.errors import UserError
from mmskelssl.parallel import run_parallel

FILES = {'b.txt': b'one', 'a.TXT': b'two', 'deep/er/c.txt': b'three', 'd.json': b'{}', '.hidden.txt': b'', '.git/x.txt':
         b'', '__MACOSX/._b.txt': b'', 'deep/.DS_Store': b'', 'with blank é.txt': b'four'}
SHOWN = ['a.TXT', 'b.txt', 'deep/er/c.txt', 'with blank é.txt']


@pytest.fixture(params=['folder', 'zip', 'link to the folder'])
def there(request, tmp_path):
    if request.param == 'zip':
        with zipfile.ZipFile(tmp_path / 'files.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir('deep') if hasattr(archive, 'mkdir') else None
            for name, content in FILES.items():
                archive.writestr(name, content)
        return Source(tmp_path / 'files.zip')
    for name, content in FILES.items():
        (tmp_path / 'files' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'files' / name).write_bytes(content)
    if request.param == 'folder':
        return Source(str(tmp_path / 'files'))
    (tmp_path / 'link').symlink_to(tmp_path / 'files')
    return Source(tmp_path / 'link')


def test_names_and_content(there):
    assert there.files('.txt') == SHOWN and there.files('.TXT', '.json') == sorted([*SHOWN, 'd.json'])
    assert [there.read(name) for name in SHOWN] == [b'two', b'one', b'three', b'four']
    assert there.text('deep/er/c.txt') == 'three'


def test_it_travels_to_other_processes(there):
    there.files('.txt')
    there.read('b.txt')
    assert pickle.loads(pickle.dumps(there)).read('b.txt') == b'one'


def test_what_is_not_there(there, tmp_path):
    with pytest.raises(ValueError):
        there.read('none.txt')
    with pytest.raises(UserError, match=r'none\.txt: it'):
        there.text('none.txt')
    with pytest.raises(UserError, match='no such file or folder'):
        Source(tmp_path / 'nowhere')


def test_a_single_file(tmp_path):
    (tmp_path / 'a.csv').write_bytes(b'\xef\xbb\xbfname\n')
    single = Source(tmp_path / 'a.csv')
    assert single.files('.csv') == ['.'] and single.files('.txt') == [] and single.text() == 'name\n'


def test_links_stay_within(tmp_path):
    (tmp_path / 'raw' / 'in').mkdir(parents=True)
    (tmp_path / 'raw2').mkdir()
    (tmp_path / 'raw2' / 'x.txt').write_text('secret')
    (tmp_path / 'raw' / 'a.txt').write_text('mine')
    for name, target in dict(out='../raw2/x.txt', inside='a.txt', broken='none',
                             absolute=tmp_path / 'raw2/x.txt').items():
        (tmp_path / 'raw' / f'{name}.txt').symlink_to(target)
    (tmp_path / 'raw' / 'folder').symlink_to(tmp_path / 'raw2')
    (tmp_path / 'raw' / 'loop').symlink_to(tmp_path / 'raw')
    source = Source(tmp_path / 'raw')
    assert source.files('.txt') == ['a.txt', 'absolute.txt', 'broken.txt', 'inside.txt', 'out.txt']
    assert source.read('inside.txt') == b'mine'
    for name in ('out.txt', 'absolute.txt', '../raw2/x.txt', 'folder/x.txt'):
        with pytest.raises(ValueError, match='leads out of the folder'):
            source.read(name)
    with pytest.raises(ValueError, match='not a regular file'):
        source.read('broken.txt')


def test_too_large_files_are_not_read(there, monkeypatch, tmp_path):
    monkeypatch.setattr(module, 'MAX_BYTES', 4)
    with pytest.raises(ValueError, match='MiB'):
        there.read('deep/er/c.txt')
    assert there.read('b.txt') == b'one'
    with open(tmp_path / 'sparse.txt', 'wb') as file:
        file.truncate(1 << 34)
    with pytest.raises(ValueError, match='it has 16384 MiB'):
        Source(tmp_path / 'sparse.txt').read('.')


def test_an_encrypted_or_damaged_entry_is_a_reason(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('a.txt', b'some content that can be found')
        archive.writestr('b.txt', b'b')
    data = bytearray((tmp_path / 'a.zip').read_bytes())
    data[data.index(b'some')] ^= 1
    (tmp_path / 'a.zip').write_bytes(data)
    source = Source(tmp_path / 'a.zip')
    with pytest.raises(ValueError, match='cannot be read .*CRC'):
        source.read('a.txt')
    assert source.read('b.txt') == b'b'
    for offset in (data.index(b'PK\x01\x02') + 8, 6):
        data[offset] |= 1  # the flag of encryption
    (tmp_path / 'a.zip').write_bytes(data)
    with pytest.raises(ValueError, match='cannot be read .*(password|encrypted)'):
        Source(tmp_path / 'a.zip').read('a.txt')


def test_an_incomplete_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.ZIP', 'w') as archive:
        archive.writestr('a.txt', b'a')
    (tmp_path / 'a.ZIP').write_bytes((tmp_path / 'a.ZIP').read_bytes()[:-30])
    with pytest.raises(UserError, match=r'a.ZIP: a damaged zip archive \(it has no end\)'):
        Source(tmp_path / 'a.ZIP')


@pytest.mark.parametrize('data, text', [(b'', ''), (b'\xef\xbb\xbfa\r\n', 'a\r\n'), ('é'.encode(), 'é')])
def test_text(data, text):
    assert text_of(data) == text


@pytest.mark.parametrize('data', [b'\xff', 'é'.encode('latin-1'), b'a\0b', 'a'.encode('utf-16')])
def test_no_text(data, monkeypatch):
    with pytest.raises(ValueError, match='it is not text'):
        text_of(data)
    monkeypatch.setattr(module, 'MAX_TEXT', 3)
    with pytest.raises(ValueError, match='it is a text of 0 MiB'):
        text_of(b'1234')


def test_stem():
    assert [stem(name) for name in ('a/b.txt', 'b.c.txt', 'b')] == ['b', 'b.c', 'b']


class _Writer:
    """The methods of a writer that import_files needs."""
    index = dict(units='')

    def __init__(self):
        self.calls = []

    def unfinished(self, names, changed):
        return [name for name in names if name != 'b']

    def skip(self, name, reason):
        self.calls.append(('skip', name, reason))

    def add(self, name, **sample):
        if sample.get('label') == 9:
            raise UserError(f'sample {name}: too much')
        self.calls.append(('add', name, sample))

    def note(self, name, text):
        self.calls.append(('note', name, text))

    def finish(self, name, reads):
        self.calls.append(('finish', name))


def _read(name, data):
    if name == 'c':
        raise KeyError('x\ny')
    if name == 'd':
        raise ValueError('line 3: broken')
    if name == 'e':
        raise MemoryError
    return [dict(name='1', label=1, note='odd'), dict(name='2', reason='lost'), dict(name='3', label=9)]


def test_import_files(tmp_path):
    for name in 'abcde':
        (tmp_path / name).write_text('')
    writer = _Writer()
    import_files(Source(tmp_path), list('abcde') + ['none'], _read, writer)
    assert writer.calls == [
        ('add', '1', dict(label=1)), ('note', '1', 'odd'), ('skip', '2', 'lost'), ('skip', '3', 'too much'),
        ('finish', 'a'), ('skip', 'c', "KeyError: 'x\\ny'"), ('finish', 'c'), ('skip', 'd', 'line 3: broken'),
        ('finish', 'd'), ('skip', 'e', 'MemoryError: '), ('finish', 'e'), ('skip', 'none', 'it is not a regular file'),
        ('finish', 'none')]


def test_jobs():
    assert list(run_parallel(str, range(5), jobs=1)) == list('01234')
    with pytest.raises(UserError, match='jobs must be at least 1, got -1'):
        list(run_parallel(str, range(100), jobs=-1))


def _die(item):
    if item == 40:
        os._exit(9)
    return item


@pytest.mark.slow
def test_a_process_that_dies_is_named():
    results = []
    with pytest.raises(UserError, match='importing: a process was killed at or after (0|16|32),'):
        for result in run_parallel(_die, range(64), jobs=2, what='importing'):
            results.append(result)
    assert results == list(range(len(results))) and len(results) <= 32
