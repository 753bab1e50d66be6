"""Importers on synthetic files, on hostile pickles, and on real files if available."""
import json
import os
import pickle
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.pyskl import subject_of
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.errors import UserError
from tools.prepare_data import main


def clip(seed=0, persons=1, frames=4, joints=20):
    return np.random.default_rng(seed).normal(size=(persons, frames, joints, 3)).astype(np.float32)


def dump(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return str(path)


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', ['prepare_data.py', *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def annotations(names, **extra):
    return [dict(frame_dir=name, label=i % 3, keypoint=clip(i, frames=i + 1), total_frames=i + 1, **extra)
            for i, name in enumerate(names)]


def import_with(name, path, out, layout='kinect20'):
    with StoreWriter(out) as writer:
        IMPORTERS[name](str(path), writer, **(dict(layout=layout) if name == 'pyskl' else {}))
    return SkeletonStore(out)


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


# --- pickles ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('protocol', range(2, 6))
def test_plain_pickles_are_read(tmp_path, protocol):
    content = dict(a=clip(), b=[np.int64(3), np.float32(2.5), 'text', b'bytes', None, True, (1, 2.)],
                   c=OrderedDict(x=np.asfortranarray(clip()[0, 0])), d=np.array(['one', 'two']))
    content['e'] = np.zeros((0, 3))
    got = load_pickle(dump(tmp_path / 'p.pkl', content, protocol))
    assert got.keys() == content.keys()
    for key in set('ade') & set(content):
        np.testing.assert_array_equal(got[key], content[key])
        assert got[key].dtype == content[key].dtype
    assert got['b'] == content['b'] and isinstance(got['c'], OrderedDict)
    np.testing.assert_array_equal(got['c']['x'], content['c']['x'])


def test_both_names_of_numpys_core_are_read(tmp_path):
    data = pickle.dumps(clip(), 2)
    modern, old = (b'numpy._core.multiarray', b'numpy.core.multiarray')
    assert modern in data or old in data
    for name in (modern, old):
        (tmp_path / 'p.pkl').write_bytes(data.replace(modern, old).replace(old, name))
        np.testing.assert_array_equal(load_pickle(str(tmp_path / 'p.pkl')), clip())


@pytest.mark.parametrize('function, arguments, word', [
    (os.system, ('touch {}',), 'system'),
    (eval, ("open('{}', 'w')",), 'eval'),
    (open, ('{}', 'w'), 'open'),
    (getattr, (np, 'save'), 'getattr'),
    (np.save, ('{}', 1), 'save'),
    (np.load, ('{}',), 'load'),
    (defaultdict, (list,), 'defaultdict'),
    (__import__, ('antigravity',), '__import__'),
])
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_hostile_pickles_are_refused_and_not_run(tmp_path, function, arguments, word, protocol):
    touched = tmp_path / 'touched'
    arguments = [argument.format(touched) if isinstance(argument, str) else argument for argument in arguments]
    if np in arguments:
        arguments[0] = 'numpy'  # a module cannot be pickled; the refusal comes before the argument matters
    path = dump(tmp_path / 'evil.pkl', dict(annotations=[Call(function, *arguments)]), protocol)
    with pytest.raises(UserError, match=rf'evil\.pkl is refused: .*{word}') as failure:
        load_pickle(path)
    assert '\n' not in str(failure.value) and os.listdir(tmp_path) == ['evil.pkl']


def test_the_same_pickle_would_have_run(tmp_path):
    """Control for the test above: plain pickle executes the file."""
    path = dump(tmp_path / 'evil.pkl', Call(os.system, f'touch {tmp_path / "touched"}'))
    with open(path, 'rb') as file:
        pickle.load(file)
    assert (tmp_path / 'touched').exists()


def test_object_arrays_codecs_and_foreign_objects_are_refused(tmp_path):
    import _codecs
    for content, word in ((np.array([{}, []], object), 'Python objects'),
                          (np.zeros(2, [('a', 'f4'), ('b', 'O')]), "type 'V12', not of numbers"),
                          (Call(_codecs.encode, 'x', 'rot13'), "codec 'rot13'")):
        with pytest.raises(UserError, match=word):
            load_pickle(dump(tmp_path / 'p.pkl', content))

    class Persistent(pickle.Pickler):
        def persistent_id(self, obj):
            return 'elsewhere' if obj == 'me' else None
    with open(tmp_path / 'p.pkl', 'wb') as file:
        Persistent(file).dump(['me'])
    with pytest.raises(UserError, match='outside the file'):
        load_pickle(str(tmp_path / 'p.pkl'))


@pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps(clip())[:-40], b'\x80\x04cos\nsystem\n.'])
def test_damaged_pickles_are_named(tmp_path, content):
    (tmp_path / 'p.pkl').write_bytes(content)
    with pytest.raises(UserError, match=r'p\.pkl is refused'):
        load_pickle(str(tmp_path / 'p.pkl'))
    with pytest.raises(UserError, match='missing.pkl: no such file'):
        load_pickle(str(tmp_path / 'missing.pkl'))


# --- pyskl -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name, subject', [
    ('a01_s03_e02_v03', 3), ('a20_s10_e03', 10), ('S001C002P003R002A013', 3), ('S032C003P106R002A120', 106),
    ('fold1_000', None), ('class1', None)])
def test_subject_in_a_name(name, subject):
    assert subject_of(name) == subject


def test_pyskl_like_nwucla(tmp_path):
    names = ['a01_s01_e00_v01', 'a01_s02_e00_v02', 'a02_s01_e00_v03']
    content = dict(split=dict(train=names[:2], test=names[2:]), annotations=annotations(names), classes=['x', 'y', 'z'])
    store = import_with('pyskl', dump(tmp_path / 'p.pkl', content), tmp_path / 's')
    assert store.ids == names and store.classes == ['x', 'y', 'z'] and store.labels.tolist() == [0, 1, 2]
    assert store.splits == dict(train=names[:2], test=names[2:], xsub_train=[names[0], names[2]], xsub_test=[names[1]])
    assert [sample['subject'] for sample in store.samples] == [1, 2, 1]
    for i in range(3):
        np.testing.assert_array_equal(store.keypoints(i), clip(i, frames=i + 1))


def test_pyskl_keeps_its_own_subject_splits(tmp_path):
    names = ['S001C001P001R001A001', 'S001C001P002R001A002', 'S001C002P004R001A003']
    split = dict(xsub_train=names[1:], xsub_val=names[:1], train=names[:1], test=names[1:])
    content = dict(split=split, annotations=annotations(names))
    store = import_with('pyskl', dump(tmp_path / 'p.pkl', content), tmp_path / 's')
    assert store.splits == dict(xsub_train=names[1:], xsub_test=names[:1], train=names[:1], test=names[1:])


def test_pyskl_folds_and_subsets_are_named_as_pairs(tmp_path):
    """``train_fold1`` and ``test_fold1`` are ``data.split=fold1``; NW-UCLA's ``test_clean`` has no partner."""
    names = ['u', 'v', 'w']
    split = dict(train_fold1=names[:2], test_fold1=names[2:], test_clean=names[2:], train=names[:2], test=names[2:])
    store = import_with('pyskl', dump(tmp_path / 'p.pkl', dict(split=split, annotations=annotations(names))),
                        tmp_path / 's')
    assert store.splits == dict(fold1_train=names[:2], fold1_test=names[2:], test_clean=names[2:], train=names[:2],
                                test=names[2:])


def test_the_tool_takes_joints_in_another_order(tmp_path, monkeypatch, capsys):
    order = list(range(19, -1, -1))
    source = dump(tmp_path / 'p.pkl', dict(split={}, annotations=annotations(['u', 'v'])))
    common = ['pyskl', source, '--layout', 'kinect20']
    assert run_tool(monkeypatch, *common, '--joints', ','.join(map(str, order)), '--out', tmp_path / 's') == 0
    np.testing.assert_array_equal(SkeletonStore(tmp_path / 's').keypoints(1), clip(1, frames=2)[:, :, ::-1])
    assert run_tool(monkeypatch, *common, '--joints', '0,1,99', '--out', tmp_path / 't') == 2
    assert 'index 99 is out of bounds' in capsys.readouterr().err


def test_pyskl_without_subjects_gets_no_subject_split(tmp_path):
    content = dict(split=dict(train=['u'], test=['v']), annotations=annotations(['u', 'v']))
    store = import_with('pyskl', dump(tmp_path / 'p.pkl', content), tmp_path / 's')
    assert set(store.splits) == {'train', 'test'} and store.samples[0]['subject'] is None


def test_bad_annotations_are_listed_with_a_reason(tmp_path):
    good = annotations(['good'])[0]
    bad = [dict(good, frame_dir='joints', keypoint=clip(joints=25)),
           dict(good, frame_dir='nan', keypoint=clip() * np.nan), dict(frame_dir='none', label=0), dict(good),
           dict(good, frame_dir='ragged', keypoint=[[1, 2], [3]]),
           dict(good, frame_dir='label', label='walk'), 'no dict']
    content = dict(split=dict(train=['good', 'nan', 'ghost']), annotations=[good, *bad])
    store = import_with('pyskl', dump(tmp_path / 'p.pkl', content), tmp_path / 's')
    assert store.ids == ['good'] and store.splits == dict(train=['good'])
    reasons = {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}
    assert set(reasons) == {'joints', 'nan', 'none', 'good', 'ragged', 'label', '7', 'ghost'}
    assert "needs (M, T, 20, 3)" in reasons['joints'] and 'NaN' in reasons['nan'] and 'twice' in reasons['good']
    assert reasons['none'] == "no key 'keypoint'" and 'integers' in reasons['label']
    assert reasons['ghost'] == 'split train names it, but it has no annotation'


@pytest.mark.parametrize('content', [[], dict(split={}), dict(annotations={}), dict(annotations=[], split=['train'])])
def test_another_pickle_is_refused(tmp_path, content):
    with pytest.raises(UserError, match=r"p\.pkl: (not a pyskl pickle|'split' must be a dict)"):
        import_with('pyskl', dump(tmp_path / 'p.pkl', content), tmp_path / 's')
    assert os.listdir(tmp_path) == ['p.pkl']


# --- NW-UCLA's JSON --------------------------------------------------------------------------------------------------

def write_json(folder, name, frames, label, **extra):
    folder.mkdir(exist_ok=True)
    (folder / f'{name}.json').write_text(json.dumps(dict(file_name=name, skeletons=np.asarray(frames).tolist(),
                                                         label=label, **extra)))


def write_nwucla(folder):
    for i, (name, label) in enumerate([('a01_s01_e00_v01', 1), ('a08_s02_e00_v02', 7), ('a12_s03_e01_v03', 10)]):
        write_json(folder, name, clip(i, frames=i + 1)[0], label)
    write_json(folder, 'a08_s02_e00_v03', clip(1, frames=2)[0], 7)  # camera 2's coordinates again


def test_nwucla(tmp_path):
    write_nwucla(tmp_path / 'raw')
    store = import_with('nwucla', tmp_path / 'raw', tmp_path / 's')
    assert store.ids == ['a01_s01_e00_v01', 'a08_s02_e00_v02', 'a08_s02_e00_v03', 'a12_s03_e01_v03']
    assert store.labels.tolist() == [0, 6, 6, 9] and len(store.classes) == 10
    assert [(sample['subject'], sample['camera']) for sample in store.samples] == [(1, 1), (2, 2), (2, 3), (3, 3)]
    assert store.splits == dict(
        train=store.ids[:2], test=store.ids[2:], test_clean=store.ids[3:], test_twins=store.ids[2:3],
        xsub_train=[store.ids[0], store.ids[3]], xsub_test=store.ids[1:3])
    np.testing.assert_allclose(store.keypoints(3), clip(2, frames=3), atol=1e-6)


def test_nwuclas_bad_files_are_listed(tmp_path):
    raw = tmp_path / 'raw'
    write_nwucla(raw)
    write_json(raw, 'a01_s01_e01_v01', clip(joints=25)[0], 1)
    write_json(raw, 'a01_s01_e02_v01', clip()[0], 11)
    write_json(raw, 'a01_s01_e03_v01', [], 1)
    write_json(raw, 'notes', clip()[0], 1)
    (raw / 'a01_s01_e04_v01.json').write_text('{"skeletons": [[')
    (raw / 'a01_s01_e05_v01.json').write_text('{"label": 1}')
    (raw / 'a01_s01_e06_v01.json').write_text('[' * 100000)
    store = import_with('nwucla', raw, tmp_path / 's')
    reasons = {entry['id'][8:11] or entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}
    assert len(store) == 4 and len(store.index['provenance']['skipped']) == 7
    assert '(M, T, 20, 3)' in reasons['e01'] and 'label 11 is not one of 1..10' in reasons['e02']
    assert 'shape (0,)' in reasons['e03'] and reasons['e05'] == "no key 'skeletons'"
    assert reasons['on'] == 'the name is not aXX_sXX_eXX_vXX.json'
    with pytest.raises(UserError, match='no such file or folder'):
        import_with('nwucla', tmp_path / 'nowhere', tmp_path / 't')


# --- the tool --------------------------------------------------------------------------------------------------------

def test_the_tool_counts_and_is_strict_when_asked(tmp_path, monkeypatch, capsys):
    names = ['a01_s01_e00_v01', 'a01_s02_e00_v03']
    content = dict(split=dict(train=names[:1], test=names[1:]), annotations=annotations(names))
    content['annotations'] += [dict(frame_dir=f'bad{i}', label=0) for i in range(2)]
    source = dump(tmp_path / 'p.pkl', content)
    common = ['pyskl', source, '--layout', 'kinect20', '--units', 'mm', '--out', tmp_path / 's']
    assert run_tool(monkeypatch, *common) == 0
    out = capsys.readouterr().out
    assert 'imported 2, repaired 0, noted 0, skipped 2; train 1, test 1, xsub_train 1, xsub_test 1' in out
    assert "skipped 2: no key 'keypoint' (first: bad0)" in out
    index = SkeletonStore(tmp_path / 's').index
    assert index['units'] == 'mm' and index['provenance']['source'] == f'pyskl {source}'
    assert index['provenance']['options']['layout'] == 'kinect20'
    assert run_tool(monkeypatch, *common) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and 'exists' in error and error.count('\n') == 1
    assert run_tool(monkeypatch, *common, '--overwrite', '--strict') == 1
    assert len(SkeletonStore(tmp_path / 's')) == 2


def test_the_tool_makes_toy_data_and_explains_itself(tmp_path, monkeypatch, capsys):
    assert run_tool(monkeypatch, 'toy', '--out', tmp_path / 'toy', '--samples', 8, '--seed', 5) == 0
    assert len(SkeletonStore(tmp_path / 'toy')) == 8
    assert 'imported 8, repaired 0, noted 0, skipped 0' in capsys.readouterr().out
    assert run_tool(monkeypatch, '--help') == 0
    text = capsys.readouterr().out
    names = ('toy', 'verify', 'repair', 'stats', 'merge', *IMPORTERS)
    assert all(f'\n    {name} ' in text for name in names)


# --- real files ------------------------------------------------------------------------------------------------------

def test_the_real_nwucla(real_data, tmp_path):
    store = import_with('pyskl', real_data / 'nw_ucla.pkl', tmp_path / 's')
    assert len(store) == 1484 and not store.index['provenance']['skipped'] and len(store.classes) == 10
    counts = {name: len(store.split(name)) for name in store.splits}
    assert counts == dict(train=1020, test=464, test_clean=369, test_twins=95, xsub_train=724, xsub_test=760)
    assert Counter(sample['subject'] % 2 for sample in store.samples) == {1: 724, 0: 760}
    frames = [sample['frames'] for sample in store.samples]
    assert (min(frames), max(frames)) == (1, 201) and {sample['persons'] for sample in store.samples} == {1}

    raw = import_with('nwucla', real_data / 'nw_ucla_raw', tmp_path / 'raw')
    assert len(raw) == 43 and not raw.index['provenance']['skipped']
    for i, name in enumerate(raw.ids):  # both paths to the same data
        there = store.positions[name]
        assert raw.labels[i] == store.labels[there] and raw.samples[i]['subject'] == store.samples[there]['subject']
        np.testing.assert_allclose(raw.keypoints(i), store.keypoints(there), atol=1e-6)


@pytest.mark.parametrize('file, layout, samples, persons, classes', [
    ('msr_action3d.pkl', 'kinect20', 566, 1, 20), ('sbu_interaction.pkl', 'sbu15', 282, 2, 8)])
def test_other_real_pickles(real_data, tmp_path, file, layout, samples, persons, classes):
    store = import_with('pyskl', real_data / file, tmp_path / 's', layout)
    assert len(store) == samples and not store.index['provenance']['skipped'] and len(store.classes) == classes
    assert {sample['persons'] for sample in store.samples} == {persons} and set(store.labels) == set(range(classes))
    assert len(store.split('train')) and not set(store.split('train')) & set(store.split('test'))
