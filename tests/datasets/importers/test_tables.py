"""Tables of coordinates: separators, headers, empty cells; wide and long; axes of arrays."""
from collections import Counter

import numpy as np
import pytest

from mmskelssl.datasets.importers.axes import check_axes, clips_of, drop_padding
from mmskelssl.datasets.importers.pose.contract import Clip
from mmskelssl.datasets.importers.pose.joint_names import key_of
from mmskelssl.datasets.importers.table import read_table
from mmskelssl.datasets.importers.table_clips import table_clips
from mmskelssl.datasets.importers.text import any_text, label_text, number
from mmskelssl.layouts import get_layout

NAMES = ('nose', 'left_hand', 'right_hand')
CLIP = np.arange(4 * 3 * 2).reshape(4, 3, 2) / 4 + .5


def clips(text, joints=3, lost=None):
    return table_clips(read_table(text, joints), joints, Counter() if lost is None else lost)


def points(clip: Clip):
    return np.stack([frame[0].points for frame in clip.frames])


def wide(separator=',', header=None, decimal='.'):
    rows = [separator.join(str(v).replace('.', decimal) for v in row) for row in CLIP.reshape(4, 6).tolist()]
    return '\n'.join(([separator.join(header)] if header else []) + rows)


HEADERS = {'nose_x': [f'{n}_{a}' for n in NAMES for a in 'xy'], 'x_nose': [f'{a}_{n}' for n in NAMES for a in 'xy'],
           'nose.x': [f'{n}.{a}' for n in NAMES for a in 'xy'], 'noseX': [f'{n}{a}' for n in ('nose', 'hand', 'foot')
                                                                          for a in 'XY'],
           'x1': [f'{a}{i}' for i in (1, 2, 3) for a in 'xy'], '0_x': [f'{i}_{a}' for i in range(3) for a in 'xy'],
           'none': None}


@pytest.mark.parametrize('header', HEADERS)
@pytest.mark.parametrize('separator, decimal', [
    (',', '.'), (';', '.'), ('\t', '.'), (' ', '.'), (';', ','), ('\t', ','), (' ', ',')])
def test_wide(header, separator, decimal):
    one, = clips(wide(separator, HEADERS[header], decimal))
    np.testing.assert_array_equal(points(one), CLIP)
    assert (one.joints == NAMES) == (header in ('nose_x', 'x_nose', 'nose.x'))


@pytest.mark.parametrize('header', [
    ['noseX', 'noseY', 'leftHandX', 'leftHandY', 'rightHandX', 'rightHandY'],
    ['Nose.X', 'Nose.Y', 'LHand.X', 'LHand.Y', 'RHand.X', 'RHand.Y'],
    ['Nose (x)', 'Nose (y)', 'HandLeft (x)', 'HandLeft (y)', 'HandRight (x)', 'HandRight (y)']])
def test_names_of_joints_in_camel_case(header):
    one, = clips(wide(header=header))
    assert list(map(key_of, one.joints)) == list(map(key_of, NAMES))


@pytest.mark.parametrize('columns', ['frameIndex,trackId,', 'FrameNumber,PersonID,', 'frame_id,body,'])
def test_names_of_other_columns_in_camel_case(columns):
    one, = clips(f'{columns}noseX,noseY\n7,b,1,2\n6,b,3,4\n6,a,5,6', 1)
    assert [[person.track for person in frame] for frame in one.frames] == [['b', 'a'], ['b']]
    assert clips('TimeStamp,noseX,noseY\n2,1,2\n1,3,4', 1)[0].frames[0][0].points.tolist() == [[3, 4]]


def test_decimal_commas_are_no_further_columns():
    """1,5;2,5 is two numbers, 1,5 2,5 of one joint is a pair with a comma in between, and 1,5,2,5 is asked about."""
    np.testing.assert_array_equal(points(clips('1,5 2,5', 1)[0]), [[[1.5, 2.5]]])
    np.testing.assert_array_equal(points(clips('1,5 2,5', 2)[0]), [[[1, 5], [2, 5]]])
    with pytest.raises(ValueError, match='decimal signs'):
        clips('1,5,2,5\n3,5,4,5', 1)
    with pytest.raises(ValueError, match='are the commas decimal signs'):
        clips('1,5 2,5', 0)


def test_empty_cells_are_joints_that_are_not_seen():
    lost = Counter()
    one, = clips('nose_x,nose_y,nose_score\n1,2,.5\n,,\nNaN,-1.#IND,\n3,4,1', 1, lost)
    np.testing.assert_array_equal(points(one), [[[1, 2]], [[np.nan] * 2], [[np.nan] * 2], [[3, 4]]])
    assert [frame[0].scores.tolist() for frame in one.frames] == [[.5], [0], [0], [1]] and lost == {
        'joints without numbers': 2}


@pytest.mark.parametrize('text, reason', [
    ('nose_x,nose_y\n1,b', "line 2, column 'nose_y': 'b' is not a number"),
    ('1,2\n3', 'line 2 has 1 columns, the first'),
    ('', 'it has no lines'), ('a,b\n1,2', 'no columns JOINT_x and JOINT_y'), ('nose_x,nose_y', 'a header, but no line'),
    ('nose_x,nose_x,nose_y\n1,2,3', "the column 'nose_x' appears twice"),
    ('1_0,2', 'no line of numbers|no number|head'),
    ('joint,x,y\nnose,1,2', 'no column with the frame number'),
    ('frame,joint,x,y\n1,nose,1,2\n1,nose,1,2', 'a joint appears twice in a frame'),
    ('label,nose_x,nose_y\na,1,2\nb,1,2', 'the class changes within the clip')])
def test_what_is_no_table_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        clips(text, 1)


def test_long_with_persons_gaps_and_other_columns():
    lost = Counter()
    rows = [f'{frame},{person},{name},{x},{y},.5,k' for frame in (3, 1, 4) for person in 'ab'
            for name, (x, y) in zip(NAMES, (CLIP[frame - 1] + (person == 'b') * 10).tolist(), strict=True)]
    one, = clips('\n'.join(['frame,person,joint,x,y,confidence,camera', *rows]), 3, lost)
    assert one.joints == NAMES and [len(frame) for frame in one.frames] == [2, 0, 2, 2]
    np.testing.assert_array_equal(one.frames[2][0].points, CLIP[2])
    np.testing.assert_array_equal(one.frames[3][1].points, CLIP[3] + 10)
    assert one.frames[0][1].track == 'b' and one.frames[0][1].scores.tolist() == [.5] * 3


def test_columns_that_are_no_coordinates():
    lost = Counter()
    header = ['video', 'frame', 'label', 'speed', *HEADERS['nose_x']]
    text = '\n'.join([','.join(header)] + [f'{v},{i},run,7,' + ','.join(map(str, row)) for v in 'ab' for i, row in
                                            enumerate(CLIP.reshape(4, 6).tolist())])
    a, b = clips(text, 3, lost)
    assert (a.name, b.name, a.label) == ('a', 'b', 'run') and lost == {'columns that are not coordinates (speed)': 1}
    np.testing.assert_array_equal(points(b), CLIP)
    unnamed = ',' + ','.join(HEADERS['0_x']) + '\n' + '\n'.join(f'{i * 33},' + ','.join(map(str, row)) for i, row in
                                                             enumerate(CLIP.reshape(4, 6).tolist()))
    np.testing.assert_array_equal(points(clips(unnamed)[0]), CLIP)  # pandas' index
    np.testing.assert_array_equal(points(clips(unnamed.partition('\n')[2])[0]), CLIP)  # and without a header


ROWS = CLIP.reshape(4, 6).tolist()


@pytest.mark.parametrize('header', [
    'nose (x),nose (y),left_hand (x),left_hand (y),right_hand (x),right_hand (y)',
    'nose[x],nose[y],left_hand[x],left_hand[y],right_hand[x],right_hand[y]',
    'scorer,net,net,net,net,net,net\nbodyparts,nose,nose,left_hand,left_hand,right_hand,right_hand\ncoords,x,y,x,y,x,y',
    'right_hand_x,right_hand_y,nose_x,nose_y,left_hand_x,left_hand_y'])
def test_headers_of_programs(header):
    """Brackets; DeepLabCut's three lines; R, whose header lacks the name of the column of row names."""
    deeplabcut, last_first = header.startswith('scorer'), header.startswith('right')
    order = [2, 0, 1] if last_first else [0, 1, 2]
    rows = [','.join(map(str, ([i] if deeplabcut or last_first else []) + row.ravel().tolist()))
            for i, row in enumerate(CLIP[:, order])]
    one, = clips('\n'.join([header, *rows]))
    np.testing.assert_array_equal(points(one)[:, [one.joints.index(name) for name in NAMES]], CLIP)


def test_deeplabcut_of_several_individuals_is_refused():
    with pytest.raises(ValueError, match='of one individual'):
        clips('scorer,n,n\nindividuals,a,a\nbodyparts,nose,nose\ncoords,x,y\n0,1,2')


@pytest.mark.parametrize('header', ['0,1,2,3,4,5', '1,2,3,4,5,6', ',0,1,2,3,4,5'])
def test_numbers_of_columns_are_no_frame(header):
    index = header.startswith(',')
    rows = [','.join(map(str, ([i] if index else []) + row)) for i, row in enumerate(ROWS)]
    np.testing.assert_array_equal(points(clips('\n'.join([header, *rows]))[0]), CLIP)


def test_times_that_are_dates():
    lost = Counter()
    rows = [f'2024-01-01 10:00:{10 - i},' + ','.join(map(str, row)) for i, row in enumerate(ROWS)]
    one, = clips('\n'.join(['timestamp,' + ','.join(HEADERS['nose_x']), *rows]), 3, lost)
    np.testing.assert_array_equal(points(one), CLIP)
    assert [*lost] == ['column of times that are not numbers (timestamp), so rows are read in their order']


def test_numbers_and_encodings():
    assert np.isnan([number(text) for text in ('', 'nan', 'NA', 'null', ' ', 'inf', '-Infinity')]).all()
    assert number('-1.5e-3') == -.0015 and number('1,5', comma=True) == 1.5 and number('.5') == .5
    for text in ('1_0', '٣', '1,5', 'x', '0x10', '1.2.3', '--1'):
        with pytest.raises(ValueError, match='is not a number'):
            number(text)
    assert any_text('# Über 1.#QNAN -1.#INF'.encode('latin-1')) == '# Über nan -inf'
    with pytest.raises(ValueError, match='UTF-16: save it as UTF-8'):
        any_text('nose_x'.encode('utf-16'))
    for encoding, wanted in (('utf-16', 'UTF-16'), ('gbk', 'GBK')):
        with pytest.raises(ValueError, match=f'{wanted}.*UTF-8'):
            label_text('名字,标签'.encode(encoding), 'the table')


# --- axes ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('shape, axes, made', [
    ((30, 20, 3), None, [(1, 30, 20, 3)]), ((2, 30, 20, 3), None, [(2, 30, 20, 3)]),
    ((50, 30, 20, 3), 'NTVC', [(1, 30, 20, 3)] * 50), ((4, 30, 20, 3), 'MTVC', [(4, 30, 20, 3)]),
    ((30, 2, 20, 3), 'TMVC', [(2, 30, 20, 3)]), ((5, 3, 30, 20, 2), 'NCTVM', [(2, 30, 20, 3)] * 5),
    ((5, 3, 30, 20), 'NCTV', [(1, 30, 20, 3)] * 5), ((3, 30, 20), 'CTV', [(1, 30, 20, 3)]),
    ((30, 60), None, [(1, 30, 20, 3)]), ((30, 40), None, [(1, 30, 20, 2)]), ((20, 30, 3), 'VTC', [(1, 30, 20, 3)]),
    ((5, 2, 30, 20, 3), 'NMTVC', [(2, 30, 20, 3)] * 5)])
def test_axes(shape, axes, made):
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    got = clips_of(array, 20, axes)
    assert [clip.shape for clip in got] == made
    if axes == 'NCTVM':
        assert got[4][1, 7, 19, 2] == array[4, 2, 7, 19, 1]


@pytest.mark.parametrize('shape, said', [
    ((50, 30, 20, 3), '50 persons of 30 frames or 50 clips of 30 frames'), ((4, 30, 20, 3), '--axes MTVC or NTVC'),
    ((30, 2, 20, 3), 'TMVC'), ((2, 1, 20, 3), '--axes'), ((5, 3, 30, 20, 2), 'NMTVC or NCTVM'),
    ((3, 30, 20), '--axes CTV'), ((20, 30, 3), '--axes VTC'), ((30, 25, 3), 'choose the layout'),
    ((5, 30, 60), 'reshape the array to (5, 30, 20, 3)')])
def test_what_can_be_several_things_is_asked_about(shape, said):
    with pytest.raises(ValueError) as error:
        clips_of(np.zeros(shape), 20)
    assert said in str(error.value) and str(shape) in str(error.value) and '\n' not in str(error.value)


def test_axes_that_make_no_sense():
    for axes in ('TV', 'TTVC', 'xyz', 'NTV'):
        with pytest.raises(ValueError, match=f'--axes {axes}: the letters'):
            check_axes(axes)
    with pytest.raises(ValueError, match=r'shape \(30, 20, 3\) is not NTVC of 20 joints; it could be TVC'):
        clips_of(np.zeros((30, 20, 3)), 20, 'NTVC')


def test_padding():
    clip = np.zeros((2, 9, 20, 3))
    clip[0, 1:5] = 1
    assert drop_padding(clip).shape == (1, 5, 20, 3) and drop_padding(clip * 0).shape == (1, 1, 20, 3)


def test_the_layouts_that_readers_name_are_there():
    from mmskelssl.datasets.importers.pose.recognise import READERS
    from mmskelssl.datasets.importers.pose.skeletons import GROUPS
    from mmskelssl.datasets.importers.third import FLAT
    for count, name in [pair for reader in READERS for pair in reader.LAYOUTS.items()]:
        assert get_layout(name).num_joints == count
    for groups in GROUPS.values():
        for name, parts in groups.values():
            assert all(len(part) == get_layout(name).num_joints for part in parts)
    assert all(get_layout(name) for name in FLAT)
