"""NTU's raw files, synthetic and real if available: bodies, faults, splits, lists, zip, processes."""
import zipfile
from collections import Counter

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS, ntu
from mmskelssl.datasets.importers.ntu import TRAIN_SUBJECTS, read_skeleton
from mmskelssl.datasets.toy.raw import skeleton_text, write_raw
from mmskelssl.errors import UserError

NAME = 'S001C002P003R001A005'


def body(seed=0, scale=1.):
    """(25, 3), taller than wide."""
    return np.round(np.random.default_rng(seed).normal(size=(25, 3)) * (.1, .4, .1) * scale + (0, 0, 3), 6)


def text(frames, newline='\n'):
    """A raw file of frames, each a list of (id, joints)."""
    lines = [len(frames)]
    for bodies in frames:
        lines.append(len(bodies))
        for name, joints in bodies:
            lines += [f'{name} 0 1 1 1 1 0 0 0 2', len(joints)]
            lines += [' '.join(f'{value:.6f}' for value in joint) + ' 1 2 3 4 0 0 0 0 2' for joint in joints]
    return newline.join(map(str, lines)) + newline


def read(content, persons='file-order', name=NAME, **options):
    content = content if isinstance(content, bytes) else content.encode()
    sample, = read_skeleton(f'somewhere/{name}.skeleton', content, persons=persons, **options)
    return sample


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        content = content if isinstance(content, bytes) else content.encode()
        (folder / f'{name}.skeleton').write_bytes(content)
    return folder


def import_ntu(path, out, which='ntu60', **options):
    with StoreWriter(out, resume=True) as writer:
        IMPORTERS[which](str(path), writer, **options)
    return SkeletonStore(out)


def reasons(store, what='skipped'):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][what]}


# --- one file --------------------------------------------------------------------------------------------------------

def test_the_name_says_it_all():
    sample = read(text([[('1', body())]]), name='S017C003P106R002A060')
    keypoints = sample.pop('keypoints')
    assert sample == dict(name='S017C003P106R002A060', label=59, subject=106, camera=3, setup=17, replication=2)
    np.testing.assert_allclose(keypoints, body()[None, None])


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
@pytest.mark.parametrize('ending', ['', '\n', '\n\n  \n'])
def test_line_ends_of_both_kinds(newline, ending):
    frames = [[('7', body(t)), ('8', body(t + 50))] for t in range(3)]
    content = text(frames, newline).rstrip() + ending.replace('\n', newline)
    np.testing.assert_allclose(read(content)['keypoints'],
                               np.stack([[body(t) for t in range(3)], [body(t + 50) for t in range(3)]]))
    assert read(b'\xef\xbb\xbf' + content.encode())['label'] == 4  # with a byte order mark


def test_sound_lines_are_read_together(monkeypatch):
    """Line by line takes three times as long. It is for finding the damaged one."""
    content = text([[('1', body(t))] for t in range(3)])
    monkeypatch.setattr(ntu, '_position', lambda line: pytest.fail('was read alone'))
    np.testing.assert_allclose(read(content)['keypoints'], [[body(t) for t in range(3)]])


@pytest.mark.parametrize('persons', [1, 2, 3])
def test_file_order_takes_the_first_two(persons):
    frames = [[(str(m), body(10 * t + m)) for m in range(persons)] for t in range(4)]
    keypoints = read(text(frames))['keypoints']
    assert keypoints.shape == (min(persons, 2), 4, 25, 3)
    for m in range(min(persons, 2)):
        for t in range(4):
            np.testing.assert_allclose(keypoints[m, t], body(10 * t + m))


def test_file_order_looks_at_no_id():
    """Bodies appear, disappear and change order. The first body of each frame stays first."""
    frames = [[], [('a', body(0))], [('b', body(1)), ('a', body(2))], [('a', body(3)), ('b', body(4))],
              [('c', body(5)), ('a', body(6)), ('b', body(7))], [('b', body(8))]]
    keypoints = read(text(frames))['keypoints']
    expected = np.zeros((2, 6, 25, 3))
    expected[0, 1:] = [body(0), body(1), body(3), body(5), body(8)]
    expected[1, 2:5] = [body(2), body(4), body(6)]
    np.testing.assert_allclose(keypoints, expected)


def moving(seed, frames, speed, scale=1.):
    start = body(seed, scale)
    return [start + (speed * np.sin(t), 0, 0) for t in range(frames)]


def by_energy_in_loops(frames):
    """Reference independent of the importer: one body and one coordinate at a time."""
    tracks = {}
    for t, bodies in enumerate(frames):
        seen = set()
        for name, joints in bodies:
            if name not in seen:
                tracks.setdefault(name, []).append((t, joints))
                seen.add(name)

    def wide(joints):
        return joints[:, 0].max() - joints[:, 0].min() > .8 * (joints[:, 1].max() - joints[:, 1].min())
    for spurious in (lambda track: len(track) < 12,
                     lambda track: sum(wide(joints) for _, joints in track) > .7 * len(track)):
        rest = {name: track for name, track in tracks.items() if not spurious(track)}
        tracks = rest or tracks
    energies = []
    for name, track in tracks.items():
        total = 0
        for joint in range(25):
            for axis in range(3):
                values = [joints[joint, axis] for _, joints in track]
                total += sum((value - sum(values) / len(values)) ** 2 for value in values) / len(values)
        energies.append((total, name))
    chosen = [name for _, name in sorted(energies, reverse=True)[:2]]
    times = sorted({t for name in chosen for t, _ in tracks[name]})
    out = np.zeros((len(chosen), len(times), 25, 3))
    for m, name in enumerate(chosen):
        for t, joints in tracks[name]:
            out[m, times.index(t)] = joints
    return out


def energy_case(kind):
    slow, fast, third = (moving(seed, 20, speed) for seed, speed in ((1, .01), (2, .5), (3, .2)))
    flat = [joints * (9, 1, 1) for joints in moving(4, 20, 2.)]  # a sofa that moves more than the persons
    if kind == 'swapped':
        return [[('s', slow[t]), ('f', fast[t])][::1 if t % 3 else -1] for t in range(20)]
    if kind == 'three':
        return [[('s', slow[t]), ('f', fast[t]), ('t', third[t])] for t in range(20)]
    if kind == 'short':
        return [[('s', slow[t])] + [('f', fast[t])] * (t < 11) for t in range(20)]
    if kind == 'flat':
        return [[('x', flat[t]), ('s', slow[t])] for t in range(20)]
    if kind == 'only flat':
        return [[('x', flat[t])] for t in range(20)]
    if kind == 'only short':
        return [[('s', slow[t])] for t in range(3)]
    if kind == 'come and go':
        return [[('s', slow[t])] * (t >= 5) + [('f', fast[t])] * (t % 2 and t < 15 or t < 10) for t in range(20)] + [[]]
    if kind == 'gap':
        return [[('f', fast[t])] * (t not in (4, 9)) for t in range(20)]
    return [[('s', slow[t]), ('s', third[t]), ('f', fast[t])] for t in range(20)]  # a repeated id


@pytest.mark.parametrize('kind, shape', [
    ('swapped', (2, 20)), ('three', (2, 20)), ('short', (1, 20)), ('flat', (1, 20)), ('only flat', (1, 20)),
    ('only short', (1, 3)), ('come and go', (1, 15)), ('gap', (1, 18)), ('twice', (2, 20))])
def test_energy_follows_ids(kind, shape):
    frames = energy_case(kind)
    got, expected = read(text(frames), 'energy')['keypoints'], by_energy_in_loops(frames)
    if kind == 'come and go':
        shape = expected.shape[:2]
    assert got.shape == (*shape, 25, 3)
    np.testing.assert_allclose(got, expected, atol=2e-6)
    if kind in ('swapped', 'three', 'twice'):
        assert not np.allclose(got, read(text(frames))['keypoints'], atol=1e-3)  # the choice makes a difference
        np.testing.assert_allclose(got[0], moving(2, 20, .5), atol=2e-6)


def test_a_gap_does_not_change_who_moves_most():
    frames = energy_case('three')
    frames[3][1][1][5] = np.nan
    keypoints = read(text(frames), 'energy')['keypoints']
    assert np.isnan(keypoints).sum() == 3 and np.isnan(keypoints[0, 3, 5]).all()


# --- faults ----------------------------------------------------------------------------------------------------------

def replaced(number, line):
    lines = text([[('1', body(t))] for t in range(3)]).splitlines()  # frames at lines 2, 30 and 58
    lines[number - 1:number] = line
    return '\n'.join(lines)


FAULTS = [
    ('', 'line 1: the file ends in the middle'),
    ('\n\n', "line 1: '' is not a count"),
    ('0\n', 'line 1: 0 frames'),
    ('-3\n', 'line 1: -3 frames'),
    ('3\n0\n0\n0\n', 'no frame has a body'),
    (replaced(1, ['2']), 'line 58: more lines than the 2 frames'),
    (replaced(1, ['4']), 'line 86: the file ends in the middle'),
    (replaced(1, ['99999999999999999999']), 'line 86: the file ends in the middle'),
    (replaced(30, ['2']), "line 58: '1' is not a body (10 values)"),
    (replaced(30, ['0']), "line 31: '1 0 1 1 1 1 0 0 0 2' is not a number of bodies"),
    (replaced(30, ['-1']), "line 30: '-1' is not a number of bodies"),
    (replaced(32, ['20']), 'line 32: 20 joints, expected 25'),
    (replaced(40, ['oops']), "line 40: 'oops' is not a joint (12 values)"),
    (replaced(40, ['1 2 3']), "line 40: '1 2 3' is not a joint"),
    (replaced(40, ['a b c 1 2 3 4 0 0 0 0 2']), 'is not a joint'),
    (replaced(40, []), "line 57: '1' is not a joint"),
    (replaced(85, ['1 2 3 4 5 6 7 8 9 10 11 12', '', 'the end']), 'line 87: more lines than the 3 frames'),
    ('\n'.join(replaced(1, ['3']).splitlines()[:70]), 'line 71: the file ends in the middle'),
    (text([[('1', body())]])[:-30], 'line 29: '),  # cut off in the middle of a line
    (b'\x00\x01\x02\x03', 'it is not text (it contains a zero byte)'),
    (b'\xff\xd8\xff\xe0', 'it is not text (byte 0)'),
    (text([[('1', body())]]).encode('utf-16'), 'it is not text'),
]


@pytest.mark.parametrize('content, reason', FAULTS)
def test_reasons_name_the_line(content, reason):
    with pytest.raises(ValueError) as failure:
        read(content)
    assert reason in str(failure.value) and '\n' not in str(failure.value)


@pytest.mark.parametrize('name, reason', [
    ('clip', 'the name is not Ssss'), ('S001C001P001R001A000', 'action 0 is outside 1..60'),
    ('S001C001P001R001A061', 'action 61 is outside 1..60'), ('xS001C001P001R001A001', 'the name is not')])
def test_names_that_say_nothing(name, reason):
    with pytest.raises(ValueError, match=reason.replace('.', r'\.')):
        read(text([[('1', body())]]), name=name, classes=60)


def test_a_bad_file_costs_one_sample(tmp_path):
    good = text([[('1', body(t))] for t in range(3)])
    holes = [[('1', body(t))] for t in range(8)]
    holes[2][0][1][4] = np.nan
    holes[5][0][1][7, 1] = np.inf
    nobody = [[('1', body(t) * np.nan)] for t in range(3)]
    files = {f'S001C001P001R{i:03d}A001': content for i, (content, _) in enumerate(FAULTS, 1)}
    files |= {'S002C001P001R001A001': good, 'S002C001P001R002A001': text(holes), 'S002C001P001R003A001': text(nobody)}
    store = import_ntu(write(tmp_path / 'raw', files), tmp_path / 's')
    assert store.ids == ['S002C001P001R001A001', 'S002C001P001R002A001']
    skipped = reasons(store)
    assert len(skipped) == len(FAULTS) + 1
    for i, (_, reason) in enumerate(FAULTS, 1):
        assert reason in skipped[f'S001C001P001R{i:03d}A001.skeleton']
    assert 'never seen' in skipped['S002C001P001R003A001']
    assert reasons(store, 'repaired') == {
        'S002C001P001R002A001': '2 of 200 joint positions were NaN or Inf, filled in over time'}
    mended = store.keypoints(1)
    np.testing.assert_allclose(mended[0, 2, 4], (body(1)[4] + body(3)[4]) / 2, atol=1e-6)
    np.testing.assert_allclose(mended[0, 5, 7], (body(4)[7] + body(6)[7]) / 2, atol=1e-6)


def test_nothing_to_import(tmp_path):
    with pytest.raises(UserError, match='no .skeleton files in it'):
        import_ntu(tmp_path, tmp_path / 's')
    with pytest.raises(UserError, match=r'no sample could be imported.*line 1: the file ends'):
        import_ntu(write(tmp_path / 'raw', {NAME: ''}), tmp_path / 's')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['raw']


def test_the_same_name_in_two_folders(tmp_path):
    write(tmp_path / 'raw' / 'a', {NAME: text([[('1', body(0))]])})
    write(tmp_path / 'raw' / 'b', {NAME: text([[('1', body(1))]])})
    store = import_ntu(tmp_path / 'raw', tmp_path / 's')
    assert store.ids == [NAME] and reasons(store) == {NAME: 'the id appears twice'}
    np.testing.assert_allclose(store.keypoints(0)[0, 0], body(0), atol=1e-6)


# --- splits ----------------------------------------------------------------------------------------------------------

def test_splits(tmp_path):
    content = text([[('1', body())]])
    names = [f'S{setup:03d}C{camera:03d}P{subject:03d}R001A{action:03d}'
             for setup, camera, subject, action in ((1, 1, 1, 1), (2, 2, 3, 60), (17, 3, 38, 7), (18, 1, 41, 61),
                                                    (30, 2, 103, 120), (31, 3, 106, 100))]
    raw = write(tmp_path / 'raw', {name: content for name in names})
    sixty = import_ntu(raw, tmp_path / '60')
    assert sixty.ids == names[:3] and len(sixty.classes) == 60 and set(reasons(sixty)) == {
        f'{name}.skeleton' for name in names[3:]}
    assert sixty.splits == dict(xsub_train=[names[0], names[2]], xsub_test=[names[1]], xview_train=names[1:3],
                                xview_test=names[:1])
    both = import_ntu(raw, tmp_path / '120', 'ntu120')
    assert both.ids == names and len(both.classes) == 120 and not reasons(both)
    assert both.splits == dict(
        xsub_train=[names[0], names[2], names[4]], xsub_test=[names[1], names[3], names[5]],
        xset_train=[names[1], names[3], names[4]], xset_test=[names[0], names[2], names[5]])
    assert sum(subject <= 40 for subject in TRAIN_SUBJECTS) == 20 and len(TRAIN_SUBJECTS) == 53


@pytest.mark.parametrize('where', ['given', 'within', 'above', 'beside'])
def test_the_list_of_missing_skeletons(tmp_path, capsys, where):
    names = [f'S001C001P00{subject}R001A001' for subject in (1, 2, 3)]
    skeletons = write(tmp_path / 'ntu' / 'raw', {name: text([[('1', body())]]) for name in names})
    path = dict(given=skeletons, within=skeletons, above=tmp_path / 'ntu', beside=skeletons)[where]
    folder = dict(given=tmp_path, within=skeletons, above=tmp_path / 'ntu', beside=tmp_path / 'ntu')[where]
    listing = folder / ('list.txt' if where == 'given' else 'NTU_RGBD_samples_with_missing_skeletons.txt')
    listing.write_bytes(b'names of samples\r\n' + names[1].encode() + b'.skeleton\r\n')
    store = import_ntu(path, tmp_path / 's', missing=str(listing) if where == 'given' else None)
    assert store.ids == [names[0], names[2]]
    assert reasons(store) == {names[1]: 'it is on the list of missing skeletons'}
    assert 'without the list' not in capsys.readouterr().out


def test_no_list_is_said(tmp_path, capsys):
    import_ntu(write(tmp_path / 'raw', {NAME: text([[('1', body())]])}), tmp_path / 's')
    assert 'without the list of missing skeletons (--missing)' in capsys.readouterr().out


@pytest.mark.parametrize('content, message', [
    (None, 'no such file'), (b'\x00\xff', r'list\.txt: it is not text'), (b'nothing\n', r'list\.txt: no name such as')])
def test_a_bad_list_is_refused(tmp_path, content, message):
    raw = write(tmp_path / 'raw', {NAME: text([[('1', body())]])})
    if content is not None:
        (tmp_path / 'list.txt').write_bytes(content)
    with pytest.raises(UserError, match=message):
        import_ntu(raw, tmp_path / 's', missing=str(tmp_path / 'list.txt'))
    with pytest.raises(UserError, match='raw: it is not a regular file'):
        import_ntu(raw, tmp_path / 's', missing=str(raw))


# --- the same store from a folder, a zip, and several processes ------------------------------------------------------

@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy') / 'raw'
    write_raw('ntu', str(folder), num_samples=40, seed=3, subjects=4)
    (folder / 'S001C001P001R001A001.skeleton').write_text('broken')
    return folder


@pytest.mark.slow
def test_zip_folder_and_processes_agree(tmp_path, toy):
    assert {b'\r\n' in path.read_bytes() for path in toy.iterdir()} == {True, False}
    with zipfile.ZipFile(tmp_path / 'raw.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(toy.iterdir(), reverse=True):
            archive.write(path, f'nturgb+d_skeletons/{path.name}')
        archive.writestr('__MACOSX/nturgb+d_skeletons/._S001C001P001R001A001.skeleton', b'\0')
    one = import_ntu(toy, tmp_path / 'one', jobs=1)
    two = import_ntu(tmp_path / 'raw.zip', tmp_path / 'two', jobs=2)
    assert len(one) >= 38 and {len(one.split(name)) > 0 for name in one.splits} == {True}
    assert one.data_hash == two.data_hash
    assert len(reasons(one)) == len(reasons(two)) == 1


def test_the_toys_motions_survive(toy, tmp_path):
    from mmskelssl.datasets.toy.store import make_sample
    store = import_ntu(toy, tmp_path / 's')
    for index in range(1, 10):
        rng = np.random.default_rng([3, index])
        subject, camera = index % 4 + 1, int(rng.integers(1, 4))
        name = f'S001C{camera:03d}P{subject:03d}R001A{index + 1:03d}'
        made, got = make_sample(rng, index, subject, camera), store.keypoints(store.positions[name])
        np.testing.assert_allclose(got[0], made[0], atol=1e-5)
    assert store.classes[0] == 'drink water' and Counter(store.persons.tolist()).keys() <= {1, 2}


def test_skeleton_text_is_what_the_importer_reads():
    clip = np.stack([[body(10 * m + t) for t in range(6)] for m in range(2)])
    keypoints = read(skeleton_text(clip, (2, 1)))['keypoints']
    np.testing.assert_allclose(keypoints[0], clip[0], atol=1e-6)
    np.testing.assert_allclose(keypoints[1, 2:5], clip[1, 2:5], atol=1e-6)
    assert not keypoints[1, :2].any() and not keypoints[1, 5:].any()


# --- real files ------------------------------------------------------------------------------------------------------

def parse_independently(path):
    """Read frames as a token stream, regardless of line breaks."""
    tokens = iter(path.read_text().split())

    def take(count):
        return [float(next(tokens)) for _ in range(count)]
    frames = []
    for _ in range(int(take(1)[0])):
        bodies = []
        for _ in range(int(take(1)[0])):
            take(10)
            bodies.append(np.array([take(12)[:3] for _ in range(int(take(1)[0]))]))
        frames.append(bodies)
    assert next(tokens, None) is None
    return frames


def test_the_real_files(real_data, tmp_path, capsys):
    files = sorted((real_data / 'ntu_raw').glob('*.skeleton'))
    store = import_ntu(real_data / 'ntu_raw', tmp_path / 's')
    assert store.ids == [path.stem for path in files] and len(files) == 7 and not reasons(store)
    for i, path in enumerate(files):
        frames = parse_independently(path)
        keypoints = store.keypoints(i)
        assert keypoints.shape == (min(2, max(map(len, frames))), len(frames), 25, 3)
        expected = np.zeros(keypoints.shape, np.float32)
        for t, bodies in enumerate(frames):
            for m, joints in enumerate(bodies[:2]):
                expected[m, t] = joints
        np.testing.assert_array_equal(keypoints, expected)
    assert {2, 1} == set(store.persons.tolist())
    energy = import_ntu(real_data / 'ntu_raw', tmp_path / 'e', persons='energy')
    assert energy.ids == store.ids and all(energy.frames <= store.frames)
    for i in np.flatnonzero(store.persons == 1):
        seen = store.keypoints(i).any((0, 2, 3))
        np.testing.assert_array_equal(energy.keypoints(i), store.keypoints(i)[:, seen])


def test_the_real_lists(real_data):
    from mmskelssl.datasets.importers.ntu import NAME_ANY
    for name, count in (('ntu60', 302), ('ntu120', 535)):
        names = NAME_ANY.findall((real_data / 'lists' / f'{name}_missing_skeletons.txt').read_text())
        assert len(set(names)) == len(names) == count
