"""The motion capture importer: toy motions in CMU's format, BVH of any skeleton, and invalid folders."""
import json
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.toy.asf_amc import to_cmu31, write_asf_amc, write_toy_cmu
from mmskelssl.datasets.toy.store import ACTIONS, make_sample
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS, get_layout
from tools.prepare_data import main


def load(path, out, **options):
    with StoreWriter(out) as writer:
        IMPORTERS['cmu'](str(path), writer, **options)
    store = SkeletonStore(out)
    return store, {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


def toy_clip(seed, action, subject=1):
    return to_cmu31(make_sample(np.random.default_rng(seed), action, subject, camera=2, noise=0)[0])


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
    """Asf and amc files of one subject. Copy them before damaging them."""
    folder = tmp_path_factory.mktemp('cmu') / 'with spaces é'
    names = write_asf_amc(str(folder), 7, [toy_clip(i, i)[:12] for i in range(3)])
    assert names == ['07_01', '07_02', '07_03']
    return folder


def copy(folder, to):
    to.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_toy_motions_come_back_through_asf_and_amc(tmp_path):
    write_toy_cmu(str(tmp_path / 'raw'), num_samples=16, seed=3, subjects=3)
    store, skipped = load(tmp_path / 'raw', tmp_path / 's')
    assert not skipped and len(store) == 16 and store.index['units'] == 'm'
    found = {}
    for index in range(16):  # the same clips, created again
        action, subject = index % 14, (index // 14 + index) % 3 + 1
        clip = to_cmu31(make_sample(np.random.default_rng([3, index]), action, subject, 2, noise=0)[0])
        takes = found[subject] = found.get(subject, 0) + 1
        i = store.positions[f'{subject:02d}_{takes:02d}']
        np.testing.assert_allclose(store.keypoints(i)[0], clip, atol=1e-5)
        assert store.classes[store.labels[i]] == ACTIONS[action] and store.samples[i]['subject'] == subject
    assert set(store.splits) == {'xsub_train', 'xsub_test'}
    assert {store.samples[i]['subject'] for i in store.split('xsub_train')} == {1, 3}


def test_the_tool_makes_such_files_and_imports_them(tmp_path, monkeypatch, capsys):
    for arguments in (['toy', '--raw', 'cmu', '--samples', '4', '--out', f'{tmp_path}/raw'],
                      ['cmu', f'{tmp_path}/raw', '--fps', '15', '--strict', '--out', f'{tmp_path}/s']):
        monkeypatch.setattr('sys.argv', ['prepare_data.py', *arguments])
        main()
    assert 'imported 4, repaired 0, noted 0, skipped 0; xsub_train 2, xsub_test 2' in capsys.readouterr().out
    assert SkeletonStore(tmp_path / 's').classes == sorted(ACTIONS[:4])


def test_bones_keep_their_length_between_the_frames(recordings, tmp_path):
    store, _ = load(recordings, tmp_path / 's', fps=120)
    frames = store.keypoints(0)[0]
    assert len(frames) == 4 * 11 + 1
    for child, parent in LAYOUTS['cmu31'].bones:
        assert np.ptp(np.linalg.norm(frames[:, child] - frames[:, parent], axis=-1)) < 1e-5


@pytest.mark.parametrize('fps, frames', [(120, 45), (60, 23), (30, 12), (25, 10), (15, 6)])
def test_frame_rates_and_scale(recordings, tmp_path, fps, frames):
    store, _ = load(recordings, tmp_path / 's', fps=fps)
    assert store.keypoints(0).shape == (1, frames, 31, 3)
    double, _ = load(recordings, tmp_path / 't', fps=fps, scale=2 * .0254 / .45)
    np.testing.assert_allclose(double.keypoints(0), 2 * store.keypoints(0), rtol=1e-6)


def test_labels_from_folders_a_table_or_none(recordings, tmp_path):
    raw = tmp_path / 'raw'
    copy(recordings, raw / 'walk')
    copy(recordings, raw / 'run')  # the same names again: the folder makes them unique
    store, skipped = load(raw, tmp_path / 's', labels='folders')
    assert store.classes == ['run', 'walk'] and store.ids[:2] == ['run/07_01', 'run/07_02'] and not skipped
    assert store.labels.tolist() == [0, 0, 0, 1, 1, 1] and {s['subject'] for s in store.samples} == {7}
    assert {name: len(ids) for name, ids in store.splits.items()} == dict(train=4, test=2)  # drawn: one subject
    unlabelled, _ = load(raw, tmp_path / 'none', labels='none')
    assert {name: len(ids) for name, ids in unlabelled.splits.items()} == dict(train=6)  # no labels to test with
    table = tmp_path / 'labels.csv'
    table.write_bytes('\ufeffname,label,subject,split\r\nrun/07_01, 10,4,a\r\n'
                      '"run/07_02.amc",9,,b\r\nghost,10,,\r\n'.encode())
    store, skipped = load(raw, tmp_path / 't', labels=str(table))
    assert store.classes == ['9', '10'] and store.labels.tolist() == [1, 0, -1, -1, -1, -1]
    assert [sample['subject'] for sample in store.samples] == [4, 7, 7, 7, 7, 7]
    assert store.splits == dict(a=['run/07_01'], b=['run/07_02'])
    assert skipped == dict(ghost='the table of labels names it, but there is no such clip')
    noted = store.index['provenance']['noted']
    assert noted[0] == dict(id='run/07_03', reason='the table of labels does not name it') and len(noted) == 4
    store, skipped = load(raw, tmp_path / 'u')
    assert store.classes == [] and set(store.labels) == {-1} and not skipped


@pytest.mark.parametrize('content, reason', [
    (None, 'no such file'), (b'', 'should name its columns'), (b'07_01,a\n', 'should name its columns'),
    (b'name,label\n,a\n', 'line 2: no name'), (b'name,label\n07_01,a\n07_01,b\n', 'line 3: the name appears twice'),
    (b'\xff\xfe\x00,\n', 'UTF-16'), (b'name,subject\n07_01,x\n', "subject 'x' is not a number")])
def test_a_bad_table_of_labels(recordings, tmp_path, content, reason):
    if content is not None:
        (tmp_path / 'l.csv').write_bytes(content)
    with pytest.raises(ValueError, match=reason) as failure:
        load(recordings, tmp_path / 's', labels=str(tmp_path / 'l.csv'))
    assert '\n' not in str(failure.value) and not os.path.exists(tmp_path / 's')


def test_damaged_recordings_are_listed(recordings, tmp_path):
    raw = copy(recordings, tmp_path / 'raw')
    text = (raw / '07_01.amc').read_text()
    (raw / '07_04.amc').write_text(text[:len(text) // 2])
    (raw / '07_05.amc').write_bytes(os.urandom(3000))
    (raw / '07_06.amc').write_text('')
    (raw / '07_07.amc').write_text(re.sub(r'rtibia \S+', 'rtibia nan', text))
    (raw / '07_08.amc').write_text(re.sub(r'root \S+', 'root 1e300', text))
    (raw / '07_09.amc').symlink_to('/etc/hostname')
    (raw / '07_10.amc').mkdir()
    os.mkfifo(raw / '07_11.amc')
    store, skipped = load(raw, tmp_path / 's')
    assert store.ids == ['07_01', '07_02', '07_03']
    assert sorted(skipped, key=len) == ['07_07', '07_08'] + [f'07_{i:02d}.amc' for i in (4, 5, 6, 9, 11)]
    assert 'truncated' in skipped['07_04.amc'] and 'no frame' in skipped['07_06.amc'] and 'NaN' in skipped['07_07']
    assert 'NaN or Inf' in skipped['07_08'] and skipped['07_09.amc'] == 'it is a link that leads out of the folder'
    assert skipped['07_11.amc'] == 'it is not a regular file'


def test_one_bad_value_and_an_umlaut_do_not_lose_a_recording(recordings, tmp_path):
    raw = copy(recordings, tmp_path / 'raw')
    text = (raw / '07_01.amc').read_text()
    (raw / '07_04.amc').write_bytes('# Überkopf\n'.encode('latin-1') + re.sub(
        r'rtibia \S+', 'rtibia -1.#IND', text, count=1).encode())
    store, skipped = load(raw, tmp_path / 's')
    assert store.ids == ['07_01', '07_02', '07_03', '07_04'] and not skipped
    clean, mended = store.keypoints(0)[0], store.keypoints(3)[0]
    assert clean.shape == mended.shape and np.isfinite(mended).all()
    np.testing.assert_array_equal(mended[8:], clean[8:])
    assert 'filled in over time' in store.index['provenance']['repaired'][0]['reason']


def test_which_asf_belongs_to_a_recording(recordings, tmp_path):
    raw = copy(recordings, tmp_path / 'raw')
    (raw / '08_01.amc').write_bytes((raw / '07_01.amc').read_bytes())
    assert load(raw, tmp_path / 'one')[0].ids == ['07_01', '07_02', '07_03', '08_01']  # the only one applies to all
    (raw / '07_0.asf').write_text('broken')  # the longest prefix applies
    (raw / 'HDM_bd.asf').write_bytes((raw / '07.asf').read_bytes())
    (raw / 'HDM_bd_clap_001_120.amc').write_bytes((raw / '07_01.amc').read_bytes())
    store, skipped = load(raw, tmp_path / 'two')
    assert store.ids == ['HDM_bd_clap_001_120'] and store.samples[0]['subject'] is None
    assert skipped['07_01.amc'] == '07_0.asf: not an asf file: section :bonedata is missing'
    assert skipped['08_01.amc'] == 'its name does not begin with the name of an .asf file in its folder'
    for file in raw.glob('*.asf'):
        file.unlink()
    with pytest.raises(UserError, match='no .asf file in its folder'):
        load(raw, tmp_path / 'three')


def test_a_zip_of_many_processes_and_an_interrupted_import(recordings, tmp_path):
    raw = copy(recordings, tmp_path / 'raw' / 'sub')
    packed = shutil.make_archive(str(tmp_path / 'all'), 'zip', raw.parent)
    whole, _ = load(raw.parent, tmp_path / 's')
    other, _ = load(packed, tmp_path / 't', jobs=2)
    assert other.data_hash == whole.data_hash

    with pytest.raises(KeyboardInterrupt), StoreWriter(tmp_path / 'u', source='x', resume=True) as writer:
        IMPORTERS['cmu'](str(raw.parent), writer)
        raise KeyboardInterrupt
    assert not os.path.exists(tmp_path / 'u')
    with StoreWriter(tmp_path / 'u', source='x', resume=True) as writer:
        IMPORTERS['cmu'](str(raw.parent), writer)
    assert SkeletonStore(tmp_path / 'u').data_hash == whole.data_hash


def test_bad_options(recordings, tmp_path):
    for options, reason in ((dict(fps=0), '--fps 0'), (dict(fps=float('nan')), 'fps nan'), (dict(scale=0), 'scale 0'),
                            (dict(scale=-1), 'scale -1')):
        with pytest.raises(UserError, match=reason):
            load(recordings, tmp_path / 's', **options)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='no .amc or .bvh files in it'):
        load(tmp_path / 'empty', tmp_path / 's')


def test_noise_cannot_be_written_as_rigid_bones(tmp_path):
    clip = toy_clip(0, 0)
    with pytest.raises(UserError, match='changes its length.*noise-free'):
        write_asf_amc(str(tmp_path), 1, [clip + np.random.default_rng(0).normal(0, .01, clip.shape)])


# --- bvh -------------------------------------------------------------------------------------------------------------

def bvh_of(clip, layout, names=None, rate=120):
    """A clip as BVH: every joint has its own position channels (offset from its parent) and no rotation."""
    names = names or list(layout.joints)

    def block(joint, kind):
        own = [child for child, parent in layout.bones if parent == joint]
        inner = ' '.join(block(child, 'JOINT') for child in own)
        return (f'{kind} {names[joint]} {{ OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition {inner} }}')

    order = [layout.centre]
    for joint in order:  # depth first, as the file is written
        at = order.index(joint) + 1
        order[at:at] = [child for child, parent in layout.bones if parent == joint]
    parents = np.array(layout.parents)
    local = clip - np.where((parents == np.arange(len(parents)))[:, None], 0, clip[:, parents])
    rows = '\n'.join(' '.join(f'{v:.6f}' for v in frame[order].ravel()) for frame in local)
    return (f'HIERARCHY\n{block(layout.centre, "ROOT")}\nMOTION\nFrames: {len(clip)}\nFrame Time: {1 / rate:.7f}\n'
            f'{rows}\n')


def test_bvh_of_another_skeleton_gets_its_own_layout(tmp_path):
    kinect = get_layout('ntu25')
    clip = np.random.default_rng(0).normal(size=(9, 25, 3))
    raw = tmp_path / 'raw'
    raw.mkdir()
    (raw / 'a.bvh').write_text(bvh_of(clip, kinect))
    store, skipped = load(raw, tmp_path / 's')
    assert not skipped and store.layout.num_joints == 25 and store.index['units'] == 'unit of the BVH files'
    assert store.ids == ['a'] == load(raw / 'a.bvh', tmp_path / 'single')[0].ids
    names = store.layout.joints
    assert names[store.layout.centre] == 'shoulder_centre' and len(store.layout.pairs) == 10
    for joint, name in enumerate(names):
        np.testing.assert_allclose(store.keypoints(0)[0, :, joint], clip[::4, kinect.joints.index(name)], atol=1e-4)
    # A layout file picks joints and orders them; a scale gives metres.
    own = dict(name='arm', joints=['right_hand', 'right_elbow', 'left_elbow'], parents=[1, 1, 1], hip=1,
               shoulders=[2, 1])
    (tmp_path / 'own.json').write_text(json.dumps(own))
    store, _ = load(raw, tmp_path / 't', layout=str(tmp_path / 'own.json'), scale=.01)
    assert store.index['units'] == 'm'
    wanted = [kinect.joints.index(name) for name in own['joints']]
    np.testing.assert_allclose(store.keypoints(0)[0], clip[::4, wanted] / 100, atol=1e-5)
    with pytest.raises(UserError, match="layout sbu15: the file has no joint 'torso'"):
        load(raw, tmp_path / 'u', layout='sbu15')


def test_cmus_own_bvh_maps_to_cmu31(tmp_path):
    """The hierarchy of the published conversions, one joint after the other along x."""
    def chain(*names):
        return ''.join(f'JOINT {name} {{ OFFSET 1 0 0 CHANNELS 0 ' for name in names)

    def limb(*names):
        return chain(*names) + 'End Site { OFFSET 1 0 0 } ' + '} ' * len(names)

    text = 'HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation '
    for side in ('Left', 'Right'):
        text += limb(f'{side[0]}HipJoint', f'{side}UpLeg', f'{side}Leg', f'{side}Foot', f'{side}ToeBase')
    text += chain('LowerBack', 'Spine', 'Spine1') + limb('Neck', 'Neck1', 'Head')
    for side in ('Left', 'Right'):
        text += chain(f'{side}Shoulder', f'{side}Arm', f'{side}ForeArm', f'{side}Hand')
        text += limb(f'{side}FingerBase', f'{side}HandIndex1') + limb(f'{side[0]}Thumb') + '} } } } '
    (tmp_path / '01_02.bvh').write_text(text + '} } } } MOTION Frames: 1 Frame Time: .0083333 0 0 0 0 0 0')
    store, _ = load(tmp_path, tmp_path / 's')
    assert store.layout.name == 'cmu31'
    along = dict(zip(store.layout.joints, store.keypoints(0)[0, 0, :, 0], strict=True))
    assert along == dict(
        root=0, lower_back=2, upper_back=3, thorax=4, lower_neck=5, upper_neck=6, head=7,
        **{f'{side}_{joint}': x for side in ('left', 'right') for joint, x in dict(
            hip=2, knee=3, ankle=4, foot=5, toes=6, shoulder=5, elbow=6, wrist=7, palm=8, hand=9, fingers=10,
            thumb=9).items()})
    assert store.samples[0]['subject'] == 1


def test_both_kinds_in_one_folder_need_a_scale(recordings, tmp_path):
    raw = copy(recordings, tmp_path / 'raw')
    (raw / 'b.bvh').write_text('broken')
    with pytest.raises(UserError, match='in different units: set --scale'):
        load(raw, tmp_path / 's')
    store, skipped = load(raw, tmp_path / 's', scale=.05)
    assert len(store) == 3 and skipped == {'b.bvh': 'not a bvh file: it needs HIERARCHY and MOTION'}


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(['amc', 'asf', 'bvh']))
def test_any_bytes_are_skipped_with_a_reason(tmp_path_factory, recordings, content, suffix):
    raw = copy(recordings, tmp_path_factory.mktemp('fuzz') / 'raw')
    (raw / f'x.{suffix}').write_bytes(content)
    store, skipped = load(raw, raw.parent / 's', scale=.05)
    assert store.ids == ['07_01', '07_02', '07_03'] and list(skipped) == ([f'x.{suffix}'] if suffix != 'asf' else [])
    assert all(skipped.values())
