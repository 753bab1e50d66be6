"""Long recordings: the probabilities of the classes over time, with the skeleton above them."""
from collections.abc import Callable

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.evaluation.calibration import softmax
from mmskelssl.evaluation.linear import fit_probe
from mmskelssl.inference.clips import ClipSet
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.timeline import PERSONS, Timeline
from mmskelssl.inference.windows import cut
from mmskelssl.report.charts import DASHES, PALETTE, Chart, figure, item, legend, plain, short
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.sources import Source, class_names, labelled
from mmskelssl.visualization.browsing import evenly

TRACKS, CLASSES = 4, 6
FRAMES = 27_000  # of all players; an hour is played with 7.5 frames per second
POINTS, LINES, SEGMENTS = 2000, 200, 200  # of a chart, of its table, and rows of segments


def timeline_of(source: Source, clips: ClipSet, train_split: str | None, window: float, stride: float,
                fps: float | None, persons: str | None, convert: bool) -> Timeline:
    """Classify the windows of recordings with the saved classifier, or with a linear probe on the encoder.

    Raises:
        UserError: If there is no classifier, and no labelled training split to fit a probe on.
    """
    if source.classifier is not None:
        return source.classifier.over_time(clips, window, stride, fps, persons, convert)
    extractor, store = source.extractor, source.store
    if extractor is None or store is None or train_split is None or not labelled(store, store.split(train_split)):
        raise UserError(f'{source.path}: windows are classified by a saved classifier, or by a probe that needs a '
                        'labelled training split')
    rate = clips.fps or fps or extractor.fps
    if rate is None:
        raise UserError('the frame rate of the recordings is not known, so their windows are not: add --fps')
    train = extractor.of_store(store.path, train_split)
    probe = fit_probe(train.feats, train.labels)
    persons = persons or extractor.persons
    if persons not in PERSONS:
        raise UserError(f'--persons {persons}: choose one of {", ".join(PERSONS)}')
    parts, windows = cut(clips, window, stride, rate, persons == 'each')
    chances = softmax(probe(extractor.of_clips(parts, convert).feats)).astype(np.float32)
    names = class_names(store)
    return Timeline(clips, windows, Predictions(list(parts.ids), names[:chances.shape[1]], chances))


def recording_part(timeline: Timeline, packer_of: Callable[[ClipSet], ClipPacker]) -> dict:
    """Return the part of the page: a player, a chart and the segments of each track."""
    clips, found = timeline.clips, timeline.segments()
    packer = packer_of(clips)
    rows_of: dict[tuple, list[int]] = {}
    for row, window in enumerate(timeline.windows):
        rows_of.setdefault((window.clip, window.person), []).append(row)
    tracks = []
    for number, ((clip, person), rows) in enumerate(list(rows_of.items())[:TRACKS]):
        keypoints = np.asarray(clips.read(clip)[0])
        keypoints = keypoints if person is None else keypoints[person:person + 1]
        name = clips.ids[clip] if person is None else f'{clips.ids[clip]}, person {person}'
        own = [one for one in found if (one.id, one.person) == (clips.ids[clip], person)]
        total = keypoints.shape[1]
        own_packer = packer.within(total, FRAMES // min(TRACKS, len(rows_of)))
        tracks.append(dict(
            title=name, key=f'track-{number}', clip=own_packer.pack(keypoints, total / own_packer.source_fps + 1),
            chart=_chart(number, timeline, rows, name), notes=_notes(timeline, rows, len(own), packer, own_packer),
            segments=[[f'{one.start:.2f}', f'{one.end:.2f}', one.label, f'{one.probability:.2f}']
                      for one in own[:SEGMENTS]],
            starts=[one.start for one in own[:SEGMENTS]]))
    return dict(tracks=tracks, more=len(rows_of) - len(tracks))


def _notes(timeline: Timeline, rows: list[int], segments: int, packer: ClipPacker, own: ClipPacker) -> list[str]:
    """Say what of a track is not shown."""
    classes = len(timeline.predictions.classes)
    return [note for note, needed in (
        (f'The chart has the {CLASSES} most probable of {classes} classes.', classes > CLASSES),
        (f'It has {POINTS} of {len(rows)} windows, evenly spaced; its table has {LINES}.', len(rows) > POINTS),
        (f'The first {SEGMENTS} of {segments} segments are listed.', segments > SEGMENTS),
        (f'The player shows {own.fps:.2g} frames per second.', own.fps < packer.fps)) if needed]


def _chart(number: int, timeline: Timeline, rows: list[int], name: str) -> Chart:
    from bokeh.models import LegendItem, Span
    total = len(rows)
    rows = [rows[i] for i in evenly(POINTS, total)]
    chances = timeline.predictions.probabilities[rows]
    own = [timeline.windows[row] for row in rows]
    times = [(window.start + window.end) / 2 for window in own]
    classes = timeline.predictions.classes
    best = sorted(np.argsort(-chances.max(0), kind='stable')[:CLASSES].tolist())
    made = figure(280, x_axis_label='seconds', y_axis_label='probability', y_range=(0, 1.02), name=f'track-{number}')
    items = []
    for i, label in enumerate(best):
        drawn = made.line(times, chances[:, label].astype(float).tolist(), color=PALETTE[i], line_width=2,
                          line_dash=DASHES[i // 2 % len(DASHES)])
        items.append(LegendItem(label=plain(short(classes[label])), renderers=[drawn]))
    made.add_layout(legend(items, 2), 'above')
    made.add_layout(Span(location=0, dimension='height', line_color='#888888', line_width=2,
                         name=f'track-time-{number}'))
    head = ['seconds', *(classes[label] for label in best)]
    table = [[f'{times[i]:.2f}', *(f'{chances[i, label]:.2f}' for label in best)]
             for i in evenly(POINTS if total <= POINTS else LINES, len(rows))]
    return Chart(f'track-{number}', 'Probabilities over time', f'Probabilities in {name} over {total} windows',
                 item(made), head, table)

