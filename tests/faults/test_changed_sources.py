"""After an interrupted import, a correction and the same command again, no old data are left."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.toy.raw import write_raw

CHANGED = pytest.mark.fault('F45', 'an interrupted import, then a corrected table of labels, source file, zip, '
                            'annotation or list, then the same command')
FILES = 8


def write_clips(folder: Path, labels: str = 'a') -> None:
    folder.mkdir()
    for i in range(FILES):
        np.save(folder / f'c{i}.npy', np.random.default_rng(i).normal(size=(3, 20, 3)).astype(np.float32))
    write_labels(folder, labels)


def write_labels(folder: Path, labels: str) -> None:
    lines = [f'c{i},{labels[i % len(labels)]},{i % 3}' for i in range(FILES)]
    (folder / 'labels.csv').write_text('\n'.join(['name,label,subject', *lines]))


def run(source, out, stop: int | None = None, importer='arrays', **options):
    """Import as the tool does. With ``stop``, the import is interrupted after this number of files."""
    options = dict(layout='kinect20', **options) if importer == 'arrays' else options
    finish = StoreWriter.finish

    def finish_and_stop(self, item, reads=None):
        finish(self, item, reads)
        if stop is not None and self._journal.done == stop:
            raise KeyboardInterrupt
    StoreWriter.finish = finish_and_stop
    try:
        with StoreWriter(out, source=f'{importer} {source}', options={}, resume=True) as writer:
            IMPORTERS[importer](str(source), writer, jobs=1, **options)
    except KeyboardInterrupt:
        return None
    finally:
        StoreWriter.finish = finish
    return SkeletonStore(out)


def correct_labels(folder):
    write_labels(folder, 'bc')


def correct_labels_in_the_same_size(folder):
    """The new file has the times of the old one, as some editors and rsync preserve them."""
    file = folder / 'labels.csv'
    times = file.stat()
    file.write_text(file.read_text().replace(',a,', ',b,'))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def correct_a_file(folder):
    np.save(folder / 'c1.npy', np.ones((3, 20, 3), np.float32))


def remove_a_file(folder):
    (folder / 'c1.npy').unlink()


def add_a_file(folder):
    np.save(folder / 'b9.npy', np.ones((3, 20, 3), np.float32))


def add_a_table(folder):
    """Two folders existed, whose names were the labels."""
    (folder / 'new').mkdir()
    (folder / 'labels.csv').rename(folder / 'new' / 'labels.csv')


@CHANGED
@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('correct', [correct_labels, correct_labels_in_the_same_size, correct_a_file, remove_a_file,
                                     add_a_file, add_a_table], ids=lambda function: function.__name__)
def test_what_is_corrected_counts(tmp_path, capsys, lost, correct, packed):
    folder, out = tmp_path / 'clips', tmp_path / 's'
    write_clips(folder)

    def source():
        if not packed:
            return folder
        (tmp_path / 'clips.zip').unlink(missing_ok=True)
        return Path(shutil.make_archive(str(tmp_path / 'clips'), 'zip', folder))
    assert run(source(), out, stop=5) is None
    correct(folder)
    store = run(source(), out)
    assert 'since this import was interrupted' in capsys.readouterr().out
    straight = run(source(), tmp_path / 'straight')
    assert store.data_hash == straight.data_hash and store.classes == straight.classes
    assert store.index['provenance']['skipped'] == straight.index['provenance']['skipped']
    store.verify_hash()
    lost('the files from the first corrected one on are read again')


@CHANGED
def test_what_is_as_it_was_is_kept(tmp_path, capsys, monkeypatch):
    """A file that was only touched, or an archive that was only copied, counts as unchanged."""
    folder, out = tmp_path / 'clips', tmp_path / 's'
    write_clips(folder)
    run(folder, out, stop=5)
    for path in folder.iterdir():
        path.touch()
    added, add = [], StoreWriter.add
    monkeypatch.setattr(StoreWriter, 'add', lambda self, name, *args, **kwargs: added.append(name) or add(
        self, name, *args, **kwargs))
    store = run(folder, out)
    assert added == ['c5', 'c6', 'c7'] and 'interrupted' not in capsys.readouterr().out
    assert store.data_hash == run(folder, tmp_path / 'straight').data_hash


@CHANGED
def test_the_later_files_alone_are_read_again(tmp_path, capsys):
    folder, out = tmp_path / 'clips', tmp_path / 's'
    write_clips(folder)
    run(folder, out, stop=6)
    np.save(folder / 'c3.npy', np.ones((3, 20, 3), np.float32))
    store = run(folder, out)
    assert 'c3.npy has changed since this import was interrupted: 3 of 6 files are kept' in capsys.readouterr().out
    assert store.keypoints(3).max() == 1


@CHANGED
def test_annotations_in_files_of_their_own(tmp_path):
    raw, out = tmp_path / 'raw', tmp_path / 's'
    write_raw('pkummd', str(raw), num_samples=6)
    assert run(raw, out, stop=2, importer='pkummd') is None
    path = sorted(raw.glob('Label/*.txt'))[0]
    path.write_text(path.read_text() + '1,0,5,1\n')
    assert run(raw, out, importer='pkummd').data_hash == run(raw, tmp_path / 't', importer='pkummd').data_hash


@CHANGED
def test_a_list_of_missing_samples(tmp_path):
    raw, out, missing = tmp_path / 'raw', tmp_path / 's', tmp_path / 'missing.txt'
    write_raw('ntu', str(raw), num_samples=8, subjects=2)
    names = sorted(path.stem for path in raw.iterdir())
    missing.write_text(names[1])
    assert run(raw, out, stop=3, importer='ntu60', missing=str(missing)) is None
    missing.write_text(names[2])
    store = run(raw, out, importer='ntu60', missing=str(missing))
    assert names[1] in store.ids and names[2] not in store.ids
    assert [entry['id'] for entry in store.index['provenance']['skipped']] == [names[2]]
