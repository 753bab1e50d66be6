"""Files as other people keep them: what deviates from the expected form is read, or named with its reason."""
import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from mmskelssl.datasets.importers import IMPORTERS, amass
from mmskelssl.datasets.importers.array_files import clips_in
from mmskelssl.datasets.importers.detect import detect
from mmskelssl.datasets.importers.labels import label_table
from mmskelssl.datasets.importers.pose.values import parse
from mmskelssl.datasets.importers.sbu import read_positions
from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.checkpoint_schema import decode_object
from mmskelssl.errors import UserError

RNG = np.random.default_rng(0)


def clip(*shape):
    return RNG.normal(0, .3, shape or (4, 20, 3)).astype(np.float32)


def saved(array=None, **arrays):
    file = io.BytesIO()
    np.savez(file, **arrays) if arrays else np.save(file, array)
    return file.getvalue()


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def load(importer, path, **options):
    out = path.parent / 'store'
    with StoreWriter(out, overwrite=True) as writer:
        IMPORTERS[importer](str(path), writer, **options)
    store = SkeletonStore(out)
    return store, {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


# --- folders and archives --------------------------------------------------------------------------------------------

def test_links_to_folders_are_named(tmp_path):
    raw = put(tmp_path / 'raw', {'walk/a.npy': saved(clip()), 'walk/b.npy': saved(clip())})
    (raw / 'run').symlink_to(put(tmp_path / 'elsewhere', {'c.npy': saved(clip())}))
    (raw / 'walk' / 'again').symlink_to(raw)
    (raw / '.cache').symlink_to(raw)
    store, skipped = load('arrays', raw, layout='kinect20', jobs=1)
    assert store.ids == ['walk/a', 'walk/b'] and skipped.keys() == {'run', 'walk/again'}
    assert 'link to a folder' in skipped['run'] and 'import its target' in skipped['run']


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    """Otherwise its clips would be missing without a word. The tests may run as root, who can list any."""
    raw = put(tmp_path / 'raw', {'a/1.npy': saved(clip()), 'b/2.npy': saved(clip())})
    scandir = __import__('os').scandir

    def refuse(path):
        if str(path).endswith('/b'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)
    monkeypatch.setattr('os.scandir', refuse)
    with pytest.raises(UserError, match=r'raw/b cannot be listed \(Permission denied\)'):
        Source(raw).files('.npy')


def test_an_archive_with_backslashes(tmp_path):
    with zipfile.ZipFile(tmp_path / 'raw.zip', 'w') as archive:
        for name in ('walk\\1.npy', 'walk\\2.npy', 'run\\1.npy', 'run\\2.npy', '..\\out.npy'):
            archive.writestr(name, saved(clip()))
    store, skipped = load('arrays', tmp_path / 'raw.zip', layout='kinect20', jobs=1, labels='folders')
    assert store.ids == ['run/1', 'run/2', 'walk/1', 'walk/2'] and store.labels.tolist() == [1, 1, 2, 2]
    assert skipped == {'../out.npy': 'its name leads out of the archive'}


def test_an_npz_in_upper_case_is_no_archive_of_clips(tmp_path):
    """Read as an archive, its two clips were two persons, and its labels were lost."""
    raw = put(tmp_path / 'raw', {'C.NPZ': saved(keypoints=clip(2, 6, 20, 3), labels=np.array([3, 1]))})
    store, skipped = load('arrays', raw / 'C.NPZ', layout='kinect20', jobs=1)
    assert store.persons.tolist() == [1, 1] and store.labels.tolist() == [3, 1] and not skipped
    assert any('arrays, 1 files, the first one of shape (2, 6, 20, 3)' in line for line in detect(str(raw / 'C.NPZ')))


# --- tables of labels ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['Labels.csv', 'LABELS.CSV'])
def test_the_table_of_labels_in_upper_case(tmp_path, name):
    files = {f'{i}/{i}.npy': saved(clip()) for i in 'abc'} | {'a/d.npy': saved(clip())}
    raw = put(tmp_path / 'raw', files | {name: 'name,label\na,walk\nb,run\nc,run\nd,run\n'})
    store, skipped = load('arrays', raw, layout='kinect20', jobs=1)
    assert store.classes == ['run', 'walk'] and store.labels.tolist() == [1, 0, 0, 0] and not skipped


@pytest.mark.parametrize('text, message', [
    ('name,label\na,walk\n\nb,turn, left\n', 'line 4: more cells than the 2 columns of the first line: put quotes'),
    ('name;label\na;walk;fast\n', 'line 2: more cells'),
    ('name,label,Label\na,walk,run\n', "two columns are named 'label': keep one"),
    ('name,label\na,walk\n\n\na,run\n', 'line 5: the name appears twice')])
def test_a_cell_too_much_in_a_table_of_labels(tmp_path, text, message):
    (tmp_path / 'l.csv').write_text(text)
    with pytest.raises(UserError, match=message):
        label_table(None, ['a', 'b'], str(tmp_path / 'l.csv'))


def test_empty_cells_and_quotes_in_a_table_of_labels(tmp_path):
    (tmp_path / 'l.csv').write_text('name,label,,\na,"turn, left",,\nb,walk,,,,\n')
    assert {name: row['label'] for name, row in label_table(None, ['a', 'b'], str(tmp_path / 'l.csv')).items()} == {
        'a': 'turn, left', 'b': 'walk'}


# --- units -----------------------------------------------------------------------------------------------------------

def msr(scale):
    return ''.join(f'{scale * joint * .1 + t} {scale} {scale} 1\n' for t in range(3) for joint in range(20))


def test_pixels_in_the_place_of_metres(tmp_path):
    """MSR Action3D is published in both, and the pixels come first in alphabetical order."""
    files = {'a01_s01_e01_skeleton.txt': msr(100), 'a01_s01_e01_skeleton3D.txt': msr(1), 'a02_s01_e01.txt': msr(1000)}
    store, skipped = load('msr', put(tmp_path / 'raw', files), jobs=1)
    assert store.ids == ['a01_s01_e01'] and store.keypoints(0).max() < 5
    assert skipped.keys() == {'a01_s01_e01', 'a02_s01_e01'} and all('cannot be metres' in text for text in
                                                                   skipped.values())


def bvh(scale):
    bones = 'Hips Chest LeftArm LeftHand RightArm RightHand LeftLeg LeftFoot RightLeg RightFoot'.split()
    offsets = dict(zip(bones, RNG.normal(0, .4, (10, 3)), strict=True))

    def joint(name, *children):
        kind = 'ROOT' if name == 'Hips' else 'JOINT'
        inside = ''.join(children) or 'End Site { OFFSET 0 0 0 }'
        return (f'{kind} {name} {{ OFFSET {" ".join(map(str, offsets[name] * scale))} '
                f'CHANNELS 3 Zrotation Xrotation Yrotation {inside} }}\n')
    tree = joint('Hips', joint('Chest', joint('LeftArm', joint('LeftHand')), joint('RightArm', joint('RightHand'))),
                 joint('LeftLeg', joint('LeftFoot')), joint('RightLeg', joint('RightFoot')))
    return f'HIERARCHY {tree} MOTION\nFrames: 4\nFrame Time: 0.03333\n' + (' '.join(['1'] * 30) + '\n') * 4


def test_bvh_files_in_two_units(tmp_path):
    store, skipped = load('cmu', put(tmp_path / 'raw', {'a.bvh': bvh(1), 'b.bvh': bvh(100), 'c.bvh': bvh(1)}), jobs=1)
    assert store.ids == ['a', 'c'] and 'those of a.bvh' in skipped['b.bvh']


def test_poses_in_two_units(tmp_path):
    poses = [[[[.1 * joint + t, .2 * joint, 2.] for joint in range(17)]] for t in range(4)]
    millimetres = (np.array(poses) * 1000).tolist()
    raw = put(tmp_path / 'raw', {'a.json': json.dumps(poses), 'b.json': json.dumps(millimetres)})
    store, skipped = load('pose', raw, layout='h36m17', jobs=1)
    assert store.ids == ['a'] and 'those of a.json 3.' in skipped['b']


def test_a_table_beside_the_middle_is_not_in_metres(tmp_path):
    """The unit follows from all coordinates: a standing person in centimetres has small x."""
    standing = np.stack([np.linspace(-15, 15, 20), np.linspace(0, 170, 20), np.full(20, 90)], 1)
    raw = put(tmp_path / 'raw', {'a.npy': saved(np.repeat(standing[None], 4, 0))})
    assert load('arrays', raw, layout='kinect20', jobs=1)[0].head['units'] == 'unknown'


# --- order, numbers and splits ---------------------------------------------------------------------------------------

def table(frames, column='frame'):
    head = ','.join(f'j{joint}_{axis}' for joint in range(20) for axis in 'xyz')
    return f'{column},{head}\n' + ''.join(f'{frame},{",".join([str(i)] * 60)}\n' for i, frame in enumerate(frames))


@pytest.mark.parametrize('column', ['frame', 'time'])
@pytest.mark.parametrize('frames', [('3', '', '1', '0'), ('3', 'nan', '1', '0')])
def test_lines_whose_place_is_not_known(column, frames):
    with pytest.raises(ValueError, match=f"line 3 has coordinates, but no number in the column '{column}'"):
        clips_in('a.csv', table(frames, column).encode(), 20)


def test_lines_without_any_number_are_no_frames():
    text = table(['2', '1', '0']) + ',' * 60 + '\n'
    (_, keypoints, about), = clips_in('a.csv', text.encode(), 20)
    assert keypoints[0, :, 0, 0].tolist() == [2, 1, 0] and about['note'] == 'lines without any number'
    (_, keypoints, _), = clips_in('a.csv', table(['', '', '']).encode(), 20)  # an empty column orders nothing
    assert keypoints[0, :, 0, 0].tolist() == [0, 1, 2]


def test_sbus_frames_are_ordered_by_their_numbers():
    lines = {number: ','.join([str(number), *(str(.1 + .01 * number + .001 * k) for k in range(90))])
             for number in (1, 2, 3)}
    name = 's01s02/01/001/skeleton_pos.txt'
    ordered, mixed = (read_positions(name, '\n'.join(lines[n] for n in numbers).encode())[0]['keypoints']
                      for numbers in ((1, 2, 3), (3, 1, 2, 1)))
    np.testing.assert_array_equal(ordered, mixed)
    with pytest.raises(ValueError, match='line 1: its first number, nan, is not that of a frame'):
        read_positions(name, lines[1].replace('1,', 'nan,', 1).encode())


@pytest.mark.parametrize('text', ['{"0": [1, 2], "0": [3, 4]}', '[{"a": {"b": 1, "b": 2}}]',
                                  '{"a": 1}\n{"a": 1, "a": 2}'])
def test_a_key_that_appears_twice(text):
    """Python keeps the last value, so that a frame or a person would be lost."""
    with pytest.raises(ValueError, match='appears twice in an object'):
        parse(text.encode())
    assert parse(b'{"score": 1, "score": 1}') == dict(score=1)


def test_an_index_with_two_values_of_a_key(tmp_path):
    with StoreWriter(tmp_path / 's', 'kinect20', classes=['a', 'b']) as writer:
        writer.add('x', clip(1, 4, 20, 3), label=0)
    file = tmp_path / 's' / 'index.json'
    file.write_text(file.read_text()[:-1] + ', "classes": ["b", "a"]}')
    with pytest.raises(UserError, match=r"index.json is damaged \(.*the key 'classes' appears twice"):
        SkeletonStore(tmp_path / 's')
    with pytest.raises(UserError, match="config.json: its content is not JSON: the key 'kind' appears twice"):
        decode_object('{"kind": "encoder", "kind": "classifier"}', 'content', 'config.json')


def pkummd():
    frames = ''.join(' '.join(f'{.1 + .01 * t + .003 * k:.4f}' for k in range(150)) + '\n' for t in range(9))
    return {f'{folder}/{name}.txt': text for name in ('0002-L', 'A01N01-L')
            for folder, text in (('Skeleton', frames), ('Label', '1,0,5,1\n'))}


def test_the_split_files_of_both_parts_of_pkummd(tmp_path):
    split = {'Split/cross-subject.txt': 'Training videos:\n0002-L,\nValidation videos:\n',
             'Split/cross_subject_v2.txt': 'Training videos:\nA01N01-L,\nValidation videos:\n'}
    store, _ = load('pkummd', put(tmp_path / 'raw', pkummd() | split), jobs=1)
    assert store.splits == dict(xsub_train=['0002-L-001', 'A01N01-L-001'])
    with pytest.raises(UserError, match='Label/0002-L.txt and Label_old/0002-L.txt label the same recording'):
        load('pkummd', put(tmp_path / 'raw', {'Label_old/0002-L.txt': '5,0,9,1\n'}), jobs=1)


def annotations(**entries):
    found = [dict(frame_dir=f'c{i}', label=i, keypoint=clip(1, 4, 20, 3), total_frames=4) for i in range(3)]
    return pickle.dumps(dict(annotations=found, **entries))


def test_splits_of_a_pickle_that_would_get_one_name(tmp_path):
    split = dict(xsub_train=['c0'], xsub_val=['c1'], xsub_test=['c2'], all=['c2', 'c1', 'c0'])
    raw = put(tmp_path / 'raw', {'a.pkl': annotations(split=split)})
    assert load('pyskl', raw / 'a.pkl', layout='kinect20')[0].splits == {k: split[k] for k in split if k != 'all'}
    put(raw, {'a.pkl': annotations(split=dict(all=['c1']))})
    with pytest.raises(UserError, match='a split of some samples is named "all"'):
        load('pyskl', raw / 'a.pkl', layout='kinect20')


def test_labels_that_begin_at_one_beside_names(tmp_path):
    raw = put(tmp_path / 'raw', {'a.pkl': annotations(split={}, classes=['walk', 'run'])})
    with pytest.raises(UserError, match="label 2, but the 2 names in 'classes' are for 0 to 1: do its labels"):
        load('pyskl', raw / 'a.pkl', layout='kinect20')


def test_the_message_names_a_single_file(tmp_path):
    line = ' '.join(['1', '2', '3', *['100'] * 45])
    raw = put(tmp_path / 'raw', {'world.txt': f'{line}\n{line}x\n'})
    with pytest.raises(UserError, match='world.txt, line 2: could not convert'):
        load('florence', raw / 'world.txt')


@pytest.mark.parametrize('rate', [0., np.nan, -60., 1e9, 1e-9])
def test_implausible_frame_rates(rate):
    """A huge one left a single frame of a clip."""
    assert amass._rate(np.array([120.])) == 120
    with pytest.raises(ValueError, match='a frame rate of .* per second is implausible'):
        amass._rate(np.array(rate))


def test_frame_rates_and_labels_that_are_no_numbers():
    for rate in (np.zeros(2), np.array('60')):
        with pytest.raises(ValueError, match='its frame rate is an array of'):
            amass._rate(rate)
    with pytest.raises(ValueError, match='labels: label nan is not an integer'):
        clips_in('a.npz', saved(keypoints=clip(2, 4, 20, 3), labels=np.array([0, np.nan])), 20)
