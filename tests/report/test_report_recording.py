"""The page of a long recording: it is bounded, and says what is left out."""
from recordings import make_timeline

from mmskelssl.report.build import build_report
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.recording import FRAMES, LINES, POINTS, SEGMENTS, recording_part
from mmskelssl.report.sources import Source


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
        'The chart has the 6 most probable of 9 classes.',
        f'It has {POINTS} of {len(timeline.windows)} windows, evenly spaced; its table has {LINES}.',
        f'The first {SEGMENTS} of {len(timeline.segments())} segments are listed.',
        'The player shows 7.5 frames per second.']
    times = [float(row[0]) for row in track['chart'].table]
    assert times[0] == 1 and times[-1] == 3599
    assert len(build_report([Source('run', 'run')], timeline=timeline)) < 12e6


def test_tracks_share_the_bound():
    part = part_of(make_timeline(1200, persons=5))
    assert len(part['tracks']) == 4 and part['more'] == 1
    assert sum(track['clip']['shape'][1] for track in part['tracks']) <= FRAMES + 4
