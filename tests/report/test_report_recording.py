"""The page of a long recording: it is bounded, and says what is left out."""
import json
from itertools import pairwise

from recordings import make_timeline

from mmskelssl.report.build import build_report
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.recording import FRAMES, SEGMENTS, recording_part
from mmskelssl.report.sources import Source
from mmskelssl.report.timeline_chart import LANES, LINES, SPANS, timeline_chart


def part_of(timeline) -> dict:
    return recording_part(timeline, lambda clips: ClipPacker(clips.layout, [clips.read(0)[0]], 'm', clips.fps))


def test_a_short_recording_is_whole():
    (track,) = part_of(make_timeline(20, classes=4))['tracks']
    assert track['notes'] == [] and track['clip']['fps'] == 15 and track['clip']['shape'][1] == 300
    assert track['chart'].title == 'Probabilities over time' and len(track['chart'].table) == 37
    assert [row[:2] for row in track['segments'][:2]] == [['0.00', '3.75'], ['3.75', '6.75']]
    assert track['starts'][1] == 3.75


def test_an_hour_is_bounded_and_whole():
    """The player reaches the end with fewer frames per second; the chart and the tables have fewer lines."""
    timeline = make_timeline(3600)
    (track,) = part_of(timeline)['tracks']
    persons, frames, _ = track['clip']['shape']
    assert (persons, track['clip']['fps'], track['clip']['cut']) == (1, 7.5, False)
    assert frames == FRAMES and frames / track['clip']['fps'] == 3600
    assert len(track['chart'].table) == LINES and len(track['segments']) == SEGMENTS
    assert track['notes'] == [
        'The chart shows when each class is the most probable one; fainter means less probable.',
        f'The table has {LINES} of 1200 stretches, evenly spaced.',
        f'The first {SEGMENTS} of {len(timeline.segments())} segments are listed.',
        'The player shows 7.5 frames per second.']
    table = track['chart'].table
    assert (table[0][0], table[-1][1]) == ('0.00', '3600.00') and table[0][3] == '0.90'
    assert 'class 4 11 %' in track['chart'].summary and track['chart'].title == 'Most probable class over time'
    assert len(build_report([Source('run', 'run')], timeline=timeline)) < 12e6


def test_tracks_share_the_bound():
    part = part_of(make_timeline(1200, persons=5))
    assert len(part['tracks']) == 4 and part['more'] == 1
    assert sum(track['clip']['shape'][1] for track in part['tracks']) <= FRAMES + 4


def test_stretches_of_one_class():
    """Windows with the same class merge, except where the person is absent; rare classes share a lane."""
    timeline = make_timeline(300, classes=LANES + 3)
    rows = [row for row, window in enumerate(timeline.windows) if not 60 <= window.start < 90]
    chart, notes = timeline_chart(0, timeline, rows, 'x')
    times = [(float(start), float(end), name) for start, end, name, _ in chart.table]
    assert times[0] == (0, 3.75, timeline.predictions.classes[0]) and times[-1][1] == 300
    assert all(a[1] == b[0] for a, b in pairwise(times) if b[0] != 90)
    assert [a[1] for a, b in pairwise(times) if a[1] != b[0]] == [61.5]
    assert notes[1] == f'The {LANES} most frequent of {LANES + 3} classes have a lane.'
    assert 'other classes' not in chart.summary and '"other classes"' in json.dumps(chart.item)


def test_the_longest_stretches_are_drawn():
    timeline = make_timeline(SPANS * 3 + 300)
    chart, notes = timeline_chart(0, timeline, range(len(timeline.windows)), 'x')
    assert f'The chart has the {SPANS} longest of {SPANS + 100} stretches.' in notes
