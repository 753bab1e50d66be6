"""Imports that are killed, refused or run out of disk space, with real processes and signals."""
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmskelssl.datasets import SkeletonStore
from mmskelssl.datasets.importers import ntu
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.datasets.toy.raw import write_raw
from mmskelssl.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp('raw') / 'skeletons'
    write_raw('ntu', str(folder), num_samples=64, seed=9, subjects=4)
    (folder / 'S001C001P001R001A002.skeleton').write_text('3\n1\nstray')
    return folder


@pytest.fixture(scope='module')
def undisturbed(raw, tmp_path_factory):
    return run(raw, tmp_path_factory.mktemp('undisturbed') / 's')


def run(raw, out, **options):
    """Import in this process, as the tool does."""
    with StoreWriter(out, source=f'ntu60 {raw}', options=dict(persons='file-order', missing=None, **options),
                     resume=True) as writer:
        ntu.import_ntu60(str(raw), writer, jobs=1)
    return SkeletonStore(out)


def start(raw, out, *options, **keywords):
    return subprocess.Popen([sys.executable, 'tools/prepare_data.py', 'ntu60', str(raw), '--out', str(out), *options],
                            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)


def journal(out):
    file = out.parent / f'.{out.name}.partial' / 'journal.jsonl'
    return file.read_text().splitlines() if file.exists() else []


def wait_for(condition, process):
    for _ in range(3000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(.01)
    raise AssertionError('it never happened')


# A tool whose importer stops and waits after it has finished this number of files.
STOPS = """
import sys, time
from mmskelssl.datasets.store.writer import StoreWriter
finish, stop = StoreWriter.finish, int(sys.argv.pop(1))
def finish_and_wait(self, item, reads):
    finish(self, item, reads)
    if self._journal.done == stop:
        self._raw.write(b'half a frame'); self._raw.flush()
        self._journal._file.write(b'{"item": "S0'); self._journal._file.flush()
        print('stopped', flush=True)
        time.sleep(600)
StoreWriter.finish = finish_and_wait
from tools.prepare_data import main
main()
"""


def start_and_stop_at(raw, out, files, *options):
    process = subprocess.Popen([sys.executable, '-c', STOPS, str(files), 'ntu60', str(raw), '--out', str(out),
                                *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert 'stopped' in process.stdout.readline(), process.communicate()
    return process


def test_a_killed_import_goes_on(raw, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / 's'
    process = start_and_stop_at(raw, out, 20)
    with pytest.raises(UserError, match='s: another import into it is running'):
        run(raw, out)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert sorted(os.listdir(tmp_path)) == ['.s.partial'] and len(journal(out)) == 22  # what, 20 files, half a line
    read, files = ntu.read_skeleton, []

    def counted(name, data, **options):
        files.append(name)
        return read(name, data, **options)
    monkeypatch.setattr(ntu, 'read_skeleton', counted)
    store = run(raw, out)
    assert store.data_hash == undisturbed.data_hash and os.listdir(tmp_path) == ['s']
    assert files == sorted(path.name for path in raw.iterdir())[20:]
    assert store.index['provenance'] == undisturbed.index['provenance']
    store.verify_hash()


def test_killed_at_any_time_with_several_processes(raw, undisturbed, tmp_path):
    """If the import is killed, its worker processes end too. The same command then finishes the store."""
    out = tmp_path / 's'
    process = start(raw, out, '--jobs', '2', start_new_session=True)
    wait_for(lambda: len(journal(out)) > 3 or out.exists(), process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    for _ in range(1000):  # remaining processes of the same session
        left = [pid for pid in os.listdir('/proc') if pid.isdigit() and _session(pid) == process.pid]
        if not left:
            break
        time.sleep(.02)
    assert not left
    if not out.exists():
        run(raw, out)
    assert SkeletonStore(out).data_hash == undisturbed.data_hash and os.listdir(tmp_path) == ['s']


def _session(pid):
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        return int(fields[3]) if fields[0] != 'Z' else None
    except OSError:
        return None


def test_a_full_disk_is_one_line_and_loses_nothing(raw, undisturbed, tmp_path):
    out, size = tmp_path / 's', (Path(undisturbed.path) / 'keypoints.npy').stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    first = start(raw, out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1])))
    _, error = first.communicate(timeout=120)
    assert first.returncode == 2 and error.count('\n') == 1 and 'File too large' in error and 'continue' in error
    assert os.listdir(tmp_path) == ['.s.partial'] and 5 < len(journal(out)) < 50
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 64, limits[1]))  # now the frames fit, but the store does not
    try:
        with pytest.raises(UserError, match='cannot write .*s: .*File too large; run the command again'):
            run(raw, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ['.s.partial'] and len(journal(out)) == 66
    assert sorted(os.listdir(tmp_path / '.s.partial')) == ['frames.raw', 'journal.jsonl', 'lock']
    store = run(raw, out)
    assert store.data_hash == undisturbed.data_hash and os.listdir(tmp_path) == ['s']


# --- the journal, in this process ------------------------------------------------------------------------------------

def interrupted(raw, out, files, **options):
    """Stop an import after a number of files, and return the names that it read."""
    read, names = ntu.read_skeleton, []

    def counted(name, data, **keywords):
        if len(names) == files:
            raise KeyboardInterrupt
        names.append(name)
        return read(name, data, **keywords)
    ntu.read_skeleton = counted
    try:
        run(raw, out, **options)
    except KeyboardInterrupt:
        pass
    finally:
        ntu.read_skeleton = read
    return names


def test_another_option_or_version_starts_anew(raw, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / 's'
    assert len(interrupted(raw, out, 5)) == 5 and len(journal(out)) == 6
    assert len(interrupted(raw, out, 3, other=1)) == 3 and len(journal(out)) == 4
    monkeypatch.setattr('mmskelssl.datasets.store.writer.__version__', '0.0.1')
    assert len(interrupted(raw, out, 2, other=1)) == 2 and len(journal(out)) == 3
    monkeypatch.undo()
    assert len(interrupted(raw, out, 99)) == 65
    assert SkeletonStore(out).data_hash == undisturbed.data_hash


@pytest.mark.parametrize('damage', ['cut', 'no newline', 'bytes', 'garbage', 'empty', 'frames', 'no frames', 'other'])
def test_a_damaged_journal_costs_time_only(raw, undisturbed, tmp_path, damage):
    out = tmp_path / 's'
    interrupted(raw, out, 8)
    folder = tmp_path / '.s.partial'
    file, frames = folder / 'journal.jsonl', folder / 'frames.raw'
    content, size = file.read_bytes(), frames.stat().st_size
    if damage == 'cut':
        file.write_bytes(content[:-20])
    elif damage == 'no newline':
        file.write_bytes(content[:-1])
    elif damage == 'bytes':
        file.write_bytes(content + b'\xff\xfe\x00\x00')
    elif damage == 'garbage':
        file.write_bytes(os.urandom(200))
    elif damage == 'empty':
        file.write_bytes(b'')
    elif damage == 'frames':
        os.truncate(frames, size - 7)
    elif damage == 'no frames':
        frames.unlink()
    else:
        file.write_bytes(content.replace(b'"bytes"', b'"octets"'))
    assert len(interrupted(raw, out, 9)) == 9  # half-way again: the rest of the journal remains readable
    kept = [json.loads(line)['item'] for line in journal(out)[1:]]
    assert kept == sorted(path.name for path in raw.iterdir())[:len(kept)]
    assert len(kept) == {'cut': 16, 'no newline': 16, 'bytes': 17, 'frames': 16, 'no frames': 10}.get(damage, 9)
    assert run(raw, out).data_hash == undisturbed.data_hash and os.listdir(tmp_path) == ['s']


def test_an_error_at_the_end_keeps_what_was_read(raw, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / 's'

    def fails(*arguments):
        raise UserError('the split file is damaged')
    with monkeypatch.context() as patch:
        patch.setattr(ntu, 'split_by', fails)
        with pytest.raises(UserError, match='the split file'):
            run(raw, out)
    assert len(journal(out)) == 66 and not out.exists()
    assert not interrupted(raw, out, 0)
    assert SkeletonStore(out).data_hash == undisturbed.data_hash
