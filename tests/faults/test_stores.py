"""With stores, caches and locks prepared by an attacker, no other file is written and no false data are accepted."""
import copy
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmskelssl.atomic import write_atomically
from mmskelssl.commands.output import Output
from mmskelssl.datasets import SkeletonDataset, SkeletonStore, StoreWriter
from mmskelssl.datasets.store.schema import parse_index
from mmskelssl.datasets.store.statistics import print_stats, store_stats
from mmskelssl.datasets.store.verify import verify
from mmskelssl.engine.work_dir import prune, remove_half_written, sole_writer
from mmskelssl.errors import UserError

PIPELINE = [dict(type='SelectPersons'), dict(type='AlignSequence'), dict(type='ResizeFrames', frames=8),
            dict(type='PackSkeleton')]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's cache directory."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'home'))
    return tmp_path / 'home' / 'mmskelssl'


def dataset(store):
    return SkeletonDataset(str(store), 'train', PIPELINE)


def key_of(store) -> str:
    return next(path.stem for path in (Path(store) / 'cache').glob('*.lock'))


def edit(store, change):
    file = Path(store) / 'index.json'
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


# --- links and folders of others -------------------------------------------------------------------------------------

LINKS = pytest.mark.fault('F40', 'links, hard links and pipes instead of caches, locks and unfinished files; a cache '
                          'folder that others own or can write to')


@LINKS
@pytest.mark.parametrize('name', ['KEY.lock', 'KEY.npy.partial', 'KEY.frames.npy.partial', 'KEY.json.partial',
                                  'KEY.npy', 'KEY.frames.npy', 'KEY.json'])
@pytest.mark.parametrize('kind', ['link', 'hard link', 'pipe'])
def test_a_link_in_a_cache_is_not_followed(own_store, tmp_path, home, lost, name, kind):
    expected = dataset(own_store).clips
    key, cache = key_of(own_store), Path(own_store) / 'cache'
    for path in cache.glob('*.np*' if 'lock' in name or 'partial' in name else 'none'):
        path.unlink()
    thesis, place = tmp_path / 'thesis.tex', cache / name.replace('KEY', key)
    thesis.write_text('years of work')
    place.unlink(missing_ok=True)
    if kind == 'link':
        place.symlink_to(thesis)
    elif kind == 'hard link':
        os.link(thesis, place)
    else:
        os.mkfifo(place)
    try:
        assert (dataset(own_store).clips == expected).all()
    except UserError as error:
        assert name == 'KEY.lock' and 'cannot be used for the preprocessed clips' in str(error)
    assert thesis.read_text() == 'years of work' and thesis.stat().st_nlink == 1 + (
        kind == 'hard link' and name == 'KEY.lock')
    lost('nothing')


@LINKS
@pytest.mark.parametrize('how', ['others', 'group', 'owner', 'link', 'read-only'])
def test_a_cache_folder_of_others_is_not_used(own_store, tmp_path, home, monkeypatch, how):
    cache, other = Path(own_store) / 'cache', tmp_path / 'other'
    other.mkdir()
    if how == 'link':
        cache.symlink_to(other)
    else:
        cache.mkdir(mode=0o755)
    if how in ('others', 'group'):
        cache.chmod(0o757 if how == 'others' else 0o775)
    elif how == 'owner':
        real = os.fstat
        monkeypatch.setattr(os, 'fstat', lambda handle: _of_another(real(handle), cache))
    elif how == 'read-only':
        real_open = os.open

        def refused(path, flags, *args, **kwargs):
            if flags & os.O_CREAT and not home.exists():
                raise OSError(errno.EROFS, 'Read-only file system', path)
            return real_open(path, flags, *args, **kwargs)
        monkeypatch.setattr(os, 'open', refused)
    assert len(dataset(own_store)) == 32
    assert list(cache.iterdir()) == [] and len(list(home.glob('*.npy'))) == 2 and home.stat().st_mode & 0o777 == 0o700


def _of_another(about, cache):
    if about.st_ino != cache.stat().st_ino:
        return about
    values = list(about)
    values[4] += 1  # st_uid
    return os.stat_result(values)


@LINKS
def test_a_chosen_cache_folder_of_others_is_refused(own_store, tmp_path, home):
    (tmp_path / 'mine').mkdir(mode=0o777)
    (tmp_path / 'mine').chmod(0o777)
    with pytest.raises(UserError, match='mine cannot be used .*other users may write to it'):
        SkeletonDataset(own_store, 'train', PIPELINE, cache_dir=str(tmp_path / 'mine'))


@LINKS
@pytest.mark.parametrize('name', ['lock', 'frames.raw', 'journal.jsonl', ''])
def test_a_link_in_an_unfinished_import_is_not_followed(tmp_path, name):
    """Anyone who can write next to the store could have created it."""
    thesis, partial = tmp_path / 'thesis.tex', tmp_path / '.s.partial'
    if name:
        thesis.write_text('years of work')
        partial.mkdir(mode=0o700)
        (partial / name).symlink_to(thesis)
    else:
        thesis.mkdir()
        partial.symlink_to(thesis)
    with pytest.raises(UserError, match=r'cannot write to .*\.s\.partial'), \
            StoreWriter(tmp_path / 's', 'kinect20', resume=True) as writer:
        writer.add('a', np.ones((1, 2, 20, 3)))
    assert thesis.read_text() == 'years of work' if name else not list(thesis.iterdir())


@LINKS
def test_a_link_in_a_work_dir_is_not_followed(tmp_path):
    thesis, work_dir = tmp_path / 'thesis.tex', tmp_path / 'w'
    thesis.write_text('years of work')
    work_dir.mkdir()
    (work_dir / '.lock').symlink_to(thesis)
    with pytest.raises(UserError, match='.lock is a link'), sole_writer(str(work_dir)):
        pass
    (work_dir / f'manifest.json.{os.getpid()}.tmp').symlink_to(thesis)
    write_atomically(str(work_dir / 'manifest.json'), b'{}')
    (work_dir / 'x.1.tmp').symlink_to(thesis)
    (work_dir / 'y.1.tmp').mkdir()
    remove_half_written(str(work_dir))
    assert thesis.read_text() == 'years of work' and not os.path.lexists(work_dir / 'x.1.tmp')


# --- names that are no paths -----------------------------------------------------------------------------------------

NAMES = pytest.mark.fault('F41', 'a split with /../ in its name in an evaluation, a manifest that names ../x and /x')


@NAMES
@pytest.mark.parametrize('split', ['/../../../x', '../x', '/etc/x', 'x' * 5000])
def test_a_split_does_not_leave_the_folder(tmp_path, lost, split):
    out = tmp_path / 'deep' / 'er' / 'out'
    row = dict(data='toy', data_hash='1', train_split=split, label_fraction=.5, seed=0, encoder='a', stream='joint',
               protocol='knn', recipe='1nn', split=split)
    output = Output(str(out), pictures=False)
    name = output._subset(row, ['a'])
    assert [path.parent for path in tmp_path.rglob('*.json')] == [out / 'subsets']
    assert (out / name).is_file() and (out / output._name('scores', row, 'npz')).parent == out / 'scores'
    lost('nothing')


@NAMES
@pytest.mark.parametrize('name', ['../x.pth', '/x.pth', 'a/../../x.pth', '..', '.', ''])
def test_pruning_stays_in_its_folder(tmp_path, name):
    (tmp_path / 'x.pth').write_text('years of work')
    work_dir = tmp_path / 'w'
    (work_dir / 'a').mkdir(parents=True)
    name = str(tmp_path / 'x.pth') if name == '/x.pth' else name
    (work_dir / 'epoch_1.pth').write_text('')
    (work_dir / 'manifest.json').write_text(json.dumps({name: {}, 'epoch_1.pth': {}, 'epoch_2.pth': {}}))
    prune(str(work_dir), 1)
    assert (tmp_path / 'x.pth').is_file() and not (work_dir / 'epoch_1.pth').exists()
    assert json.loads((work_dir / 'manifest.json').read_text()) == {'epoch_2.pth': {}}


# --- an index in two files -------------------------------------------------------------------------------------------

def forge(store, **changes) -> None:
    """Change columns of index.npz so that it still matches its index.json."""
    with np.load(Path(store) / 'index.npz') as arrays:
        arrays = dict(arrays)
    for key, value in changes.items():
        arrays[key] = value(arrays[key]) if callable(value) else value
    np.savez(Path(store) / 'index.npz', **arrays)


@pytest.fixture
def fresh_store(own_store):
    """A copied index.npz is also compared by hash; this one is accepted by its time."""
    edit_nothing = SkeletonStore(own_store)
    assert edit_nothing.columns_are_sound()
    return own_store


COLUMNS = pytest.mark.fault('F42', 'an index.npz whose labels, splits and offsets differ from index.json')


@COLUMNS
@pytest.mark.parametrize('key, value', [('label', lambda old: old[::-1].copy()), ('split0', lambda old: old[:-1]),
                                        ('subject', lambda old: old * 0)])
def test_false_columns_are_found(fresh_store, lost, key, value):
    forge(fresh_store, **{key: value})
    with pytest.raises(UserError, match='index.npz differs from index.json'):
        SkeletonStore(fresh_store).verify_hash()  # before every training
    assert 'index.npz differs from index.json' in [fault for fault in verify(fresh_store) if fault.fatal][0].what
    lost('nothing')


@COLUMNS
@pytest.mark.parametrize('key, value', [
    ('offset', lambda old: old + 1), ('offset', lambda old: old - 1), ('offset', lambda old: old[::-1].copy()),
    ('offset', lambda old: old.astype(np.float64)), ('frames', lambda old: old - 1), ('frames', lambda old: -old),
    ('persons', lambda old: old * (1 << 30)), ('label', lambda old: old - 7), ('split0', lambda old: old + 10 ** 6),
    ('split0', lambda old: np.append(old, old[0])), ('id', lambda old: old[1:]), ('label', lambda old: old[:, None]),
    ('head', np.array('[' * 100_000)), ('head', np.array('{}'))])
def test_columns_that_cannot_be_are_not_used(fresh_store, key, value):
    expected = SkeletonStore(fresh_store)
    forge(fresh_store, **{key: value})
    store = SkeletonStore(fresh_store)
    assert store.columns_are_sound() and store.data_hash == expected.data_hash
    assert (store.keypoints(7) == expected.keypoints(7)).all() and (store.labels == expected.labels).all()


# --- cached arrays ---------------------------------------------------------------------------------------------------

CACHE = pytest.mark.fault('F43', 'a cached array that is cut, extended or changed; a disk that becomes full while it '
                          'is built')


@CACHE
@pytest.mark.parametrize('name', ['KEY.npy', 'KEY.frames.npy', 'KEY.json'])
@pytest.mark.parametrize('damage', ['cut', 'grown', 'emptied', 'another'])
def test_a_cached_array_that_does_not_fit_is_made_again(own_store, home, lost, name, damage):
    first = dataset(own_store)
    expected, lengths = np.array(first.clips), first.num_frames
    file = Path(own_store) / 'cache' / name.replace('KEY', key_of(own_store))
    content = file.read_bytes()
    file.write_bytes(dict(cut=content[:-4], grown=content + bytes(4), emptied=b'', another=b'[' * 100_000)[damage])
    again = dataset(own_store)
    assert (again.clips == expected).all() and (again.num_frames == lengths).all()
    assert verify(own_store) == []
    lost('the time to preprocess again')


@CACHE
@pytest.mark.parametrize('place', ['store', 'home'])
def test_other_contents_are_found_by_verify(own_store, home, place):
    if place == 'home':
        (Path(own_store) / 'cache').write_text('')
    expected = np.array(dataset(own_store).clips)
    folder = home if place == 'home' else Path(own_store) / 'cache'
    array = next(path for path in folder.glob('*.npy') if 'frames' not in path.name)
    np.load(array, mmap_mode='r+')[3] += 1
    fault, = verify(own_store)
    assert fault.fatal and f'{array}, computed from this store, has changed' in fault.what
    assert verify(own_store) == [] and not array.exists()
    assert (dataset(own_store).clips == expected).all()


@CACHE
def test_a_disk_that_fills_while_a_cache_is_built(own_store, small_disk, home):
    """Without reserved space, the run would end with SIGBUS."""
    folder = small_disk(64 << 10)
    folder.chmod(0o755)
    with pytest.raises(UserError, match='no room for the preprocessed clips .*data.cache_dir') as caught:
        SkeletonDataset(own_store, 'train', PIPELINE, cache_dir=str(folder), preprocess='cache')
    assert '\n' not in str(caught.value) and [path.suffix for path in folder.iterdir()] == ['.lock']


# --- index.json ------------------------------------------------------------------------------------------------------

INDEX = pytest.mark.fault('F44', 'an index.json with invalid values, types, names and numbers; any structure and any '
                          'bytes')


def sample(i, **values):
    return lambda index: index['samples'][i].update(values)


@INDEX
@pytest.mark.parametrize('change, message', [
    (lambda index: index.update(samples=None), 'samples: null is not a list'),
    (lambda index: index.update(samples=[]), 'is not a list of samples'),
    (lambda index: index.update(samples=[None]), 'sample 0 is null'),
    (lambda index: index.update(classes=5), 'classes: 5 is not a list of names'),
    (lambda index: index.update(classes=['a', 1]), 'classes: 1 is not a valid name'),
    (lambda index: index.update(channels=True), 'channels true'),
    (lambda index: index.update(channels=10 ** 30), 'channels a number of 100 bits'),
    (lambda index: index.update(version=4), 'version 4'),
    (lambda index: index.update(layout=5), 'layout 5'),
    (lambda index: index.update(layout=dict(name='x', joints='a', parents=[0.0], hip=0, shoulders=[0, 0])), 'integers'),
    (lambda index: index.update(layout=dict(name='x', joints=['a'] * 2000, parents=[0] * 2000, hip=0,
                                            shoulders=[0, 0])), '2000 joints'),
    (lambda index: index.update(units=[]), 'units'), (lambda index: index.update(sha256=1), 'sha256'),
    (lambda index: index.update(provenance=[]), 'provenance'),
    (lambda index: index.update(provenance=dict(skipped=[1])), 'skipped'),
    (lambda index: index.update(splits=None), 'splits'), (lambda index: index.update(splits=dict(a=1)), 'split "a"'),
    (lambda index: index['splits'].update({'\x1b[31m': []}), 'splits: "\\\\u001b[31m" is not a valid name'),
    (sample(3, label=1.5), 'label 1.5'), (sample(3, label=True), 'label true'), (sample(3, label=-7), 'label -7'),
    (sample(3, label=1 << 40), 'label 1099511627776'), (sample(3, label='walk'), 'label "walk"'),
    (sample(3, subject=-1), 'subject -1'), (sample(3, persons=-1), 'persons is -1'),
    (sample(3, persons=10 ** 100), 'persons is a number of 333 bits'), (sample(3, frames=0), 'frames is 0'),
    (sample(3, frames=1.0), 'frames is 1.0'), (sample(3, offset=-5), 'offset is -5'),
    (sample(3, offset=1), 'offset 1 does not follow'), (sample(3, id=5), 'its id 5 is not a valid name'),
    (sample(3, id='a\x00b'), 'is not a valid name'), (sample(3, id='\ud800'), 'is not a valid name'),
    (sample(3, camera=float('nan')), 'NaN is not a number'),
    (sample(3, camera=-float('inf')), '-Infinity is not a number')])
def test_values_that_cannot_be(own_store, lost, change, message):
    edit(own_store, change)
    with pytest.raises(UserError) as caught:
        SkeletonStore(own_store)
    assert message.replace('\\\\', '\\') in str(caught.value) and str(caught.value).count('\n') == 0
    assert 'index.json is damaged (' in str(caught.value) and len(str(caught.value)) < 500
    lost('nothing')


@INDEX
@pytest.mark.parametrize('text', [b'', b'[' * 10 ** 6, b'{"a":' * 10 ** 6, b'{"samples": ' + b'9' * 10 ** 6 + b'}',
                                  b'{"samples": 1e999}', b'\xff', b'{"samples": "\\ud800"}', b'nul', b'\x00' * 1000])
def test_texts_that_cannot_be(own_store, text):
    (Path(own_store) / 'index.json').write_bytes(text)
    with pytest.raises(UserError, match='index.json is damaged') as caught:
        SkeletonStore(own_store)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 500


@INDEX
def test_an_index_that_is_too_large_is_not_read(own_store):
    os.truncate(Path(own_store) / 'index.json', 1 << 40)  # a sparse file
    with pytest.raises(UserError, match='larger than 256 MiB'):
        SkeletonStore(own_store)


@INDEX
def test_arrays_that_are_pipes_do_not_block(own_store):
    for name in ('index.npz', 'keypoints.npy'):
        (Path(own_store) / name).unlink()
        os.mkfifo(Path(own_store) / name)
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(own_store)


@INDEX
def test_names_are_printed_as_they_are(own_store, capsys):
    edit(own_store, lambda index: [index.update(classes=['[/red]', '[bold]x', 'c', 'd'], units='[/x]'),
                                   index['splits'].update({'[/y]': index['splits']['test']})])
    print_stats(store_stats(own_store))
    out = capsys.readouterr().out
    assert all(name in out for name in ('[/red]', '[bold]x', '[/x]', '[/y]'))


def _paths(node, path=()):
    yield path
    if isinstance(node, (dict, list)):
        for key in list(node)[:3] if isinstance(node, dict) else range(min(len(node), 2)):
            yield from _paths(node[key], (*path, key))


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                      lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=8), child,
                                                                                  max_size=3), max_leaves=6)


@pytest.fixture(scope='module')
def fuzzed_store(tiny_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp('fuzz') / 'store'
    shutil.copytree(tiny_store, folder, ignore=shutil.ignore_patterns('cache', 'index.npz'))
    index = json.loads((folder / 'index.json').read_text())
    return folder, index, [path for path in _paths(index) if path]


@INDEX
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_structure_opens_or_is_one_line(fuzzed_store, data):
    folder, index, paths = fuzzed_store
    index = copy.deepcopy(index)
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, leaf = data.draw(st.sampled_from(paths))
        node = index
        try:
            for key in parents:
                node = node[key]
            if data.draw(st.booleans()):
                node[leaf] = data.draw(VALUES)
            else:
                del node[leaf]
        except (IndexError, KeyError, TypeError):
            continue
    (folder / 'index.json').write_text(json.dumps(index))
    try:
        store = SkeletonStore(folder)
        store.ids, store.labels, store.subjects, store.classes, store.splits  # noqa: B018
        assert (store.labels >= -1).all() and store.keypoints(0).ndim == 4
        for name in store.splits:
            store.split(name)
    except UserError as error:
        assert '\n' not in str(error) and len(str(error)) < 2000


@INDEX
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 3000), length=st.integers(0, 40), put=st.binary(max_size=20))
def test_any_bytes_are_read_or_one_line(fuzzed_store, start, length, put):
    text = json.dumps(fuzzed_store[1]).encode()
    try:
        parse_index(text[:start] + put + text[start + length:], 'index.json')
    except UserError as error:
        assert '\n' not in str(error)
