"""Archives and motion files that try to exhaust memory or to reach outside their folder."""
import io
import os
import zipfile

import pytest
from test_hostile_files import bounded

from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.mocap.asf_amc import read_amc, read_asf
from mmskelssl.datasets.mocap.bvh import read_bvh
from mmskelssl.errors import UserError

BVH = 'HIERARCHY\nROOT a\n{{ OFFSET 0 0 0 CHANNELS {} }}\nMOTION\nFrames: {}\nFrame Time: 0.03\n{}'
ASF = ':root\norder TX TY TZ RX RY RZ\n:bonedata\n{}:hierarchy\nbegin\n{}end\n'


@pytest.mark.slow
@pytest.mark.fault('F36', 'zip slip, nested and overlapping zips, a million channels, joints or frames in motion files')
def test_archives(tmp_path, record_property, lost):
    path = tmp_path / 'a.zip'
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('b.txt', bytes(1 << 20))
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in ('../out.txt', '/out.txt', 'a/../../out.txt', 'C:\\out.txt', 'sound.txt'):
            archive.writestr(name, 'text')
        archive.writestr('nested.zip', inner.getvalue())
        archive.writestr('large.txt', bytes(600 << 20))
        link = zipfile.ZipInfo('link.txt')
        link.external_attr = 0o120777 << 16
        archive.writestr(link, '/etc/passwd')
    source = Source(str(path))
    names = source.files('.txt')
    assert 'sound.txt' in names and not any('b.txt' in name for name in names)  # nested archives are not read
    with bounded(200):
        for name in names:
            if name in ('sound.txt', 'C:/out.txt', 'link.txt'):  # a link's content is its text, no path is opened
                assert source.read(name) in (b'text', b'/etc/passwd')
            else:
                with pytest.raises(ValueError, match='leads out of the archive|would unpack to'):
                    source.read(name)
    assert os.listdir(tmp_path) == ['a.zip']
    record_property('tried', 6)
    lost('nothing')


@pytest.mark.fault('F36', 'zip slip, nested and overlapping zips, a million channels, joints or frames in motion files')
def test_entries_that_overlap(tmp_path, lost):
    """Each is read separately, and memory never exceeds its own limit."""
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for i in range(20):
            archive.writestr(f'{i:02d}.txt', bytes(1 << 20))
    data = bytearray(path.read_bytes())
    first, position = 0, data.index(b'PK\1\2')
    while data[position:position + 4] == b'PK\1\2':
        data[position + 42:position + 46] = first.to_bytes(4, 'little')
        position += 46 + int.from_bytes(data[position + 28:position + 30], 'little')
    path.write_bytes(bytes(data))
    with bounded(100):
        try:
            source = Source(str(path))
            for name in source.files('.txt')[1:]:
                with pytest.raises(ValueError):
                    source.read(name)
        except UserError as error:
            assert 'a.zip' in str(error)
    lost('nothing')


@pytest.mark.fault('F36', 'zip slip, nested and overlapping zips, a million channels, joints or frames in motion files')
@pytest.mark.parametrize('text', [
    BVH.format('1000000 ' + 'Xrotation ' * 1_000_000, 1, '0 ' * 1_000_000),
    BVH.format('6 ' + 'Xrotation ' * 6, 1, '0 ' * 6),
    BVH.format('3 Xrotation Yrotation Zrotation', 1_000_000, '0 0 0\n' * 1_000_000),
    BVH.format('3 Xrotation Yrotation Zrotation', 10 ** 12, '0 0 0'),
    BVH.format('3 Xrotation Yrotation Zrotation', '9' * 100_000, '0 0 0'),
    'HIERARCHY\nROOT a\n{ OFFSET 0 0 0 CHANNELS 0 ' + ''.join(
        f'JOINT j{i} {{ OFFSET 0 0 0 CHANNELS 0 ' for i in range(100_000)) + '}' * 100_001 + '\nMOTION\n'],
    ids=['channels', 'channels twice', 'frames', 'frames that are not there', 'digits', 'joints'])
def test_bvh(text, lost):
    with bounded(300, seconds=8), pytest.raises(ValueError) as caught:
        read_bvh(text)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 500
    lost('nothing')


@pytest.mark.fault('F36', 'zip slip, nested and overlapping zips, a million channels, joints or frames in motion files')
@pytest.mark.parametrize('kind', ['bones', 'dofs', 'children', 'frames', 'channels'])
def test_asf_and_amc(kind, lost):
    def bone(i, dof='rx'):
        return f'begin\nname b{i}\ndirection 0 1 0\nlength 1\naxis 0 0 0 XYZ\ndof {dof}\nend\n'

    skeleton = ASF.format(bone(0), 'root b0\n')
    with bounded(300, seconds=8), pytest.raises(ValueError) as caught:
        if kind == 'bones':
            read_asf(ASF.format(''.join(map(bone, range(20_000))), 'root b0\n'))
        elif kind == 'dofs':
            read_asf(ASF.format(bone(0, 'rx ' * 1_000_000), 'root b0\n'))
        elif kind == 'children':
            read_asf(ASF.format(bone(0), 'root' + ' b0' * 1_000_000 + '\n'))
        elif kind == 'frames':
            read_amc(''.join(f'{i}\nroot 0 0 0 0 0 0\nb0 0\n' for i in range(1, 150_000)), read_asf(skeleton))
        else:
            read_amc('1\nroot' + ' 0' * 1_000_000 + '\nb0 0\n', read_asf(skeleton))
    assert len(str(caught.value)) < 500
    lost('nothing')
