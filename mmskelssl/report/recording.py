"""Long recordings: the classes over time, with the skeleton above them."""
from collections.abc import Callable

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.evaluation.calibration import softmax
from mmskelssl.evaluation.linear import fit_probe
from mmskelssl.inference.clips import ClipSet
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.timeline import PERSONS, Timeline
from mmskelssl.inference.windows import cut
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.sources import Source, class_names, labelled
from mmskelssl.report.timeline_chart import timeline_chart

TRACKS, SEGMENTS = 4, 200
FRAMES = 27_000  # of all players; an hour is played with 7.5 frames per second


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
        chart, notes = timeline_chart(number, timeline, rows, name)
        notes += [note for note, needed in (
            (f'The first {SEGMENTS} of {len(own)} segments are listed.', len(own) > SEGMENTS),
            (f'The player shows {own_packer.fps:.2g} frames per second.', own_packer.fps < packer.fps)) if needed]
        tracks.append(dict(
            title=name, key=f'track-{number}', clip=own_packer.pack(keypoints, total / own_packer.source_fps + 1),
            chart=chart, notes=notes,
            segments=[[f'{one.start:.2f}', f'{one.end:.2f}', one.label, f'{one.probability:.2f}']
                      for one in own[:SEGMENTS]],
            starts=[one.start for one in own[:SEGMENTS]]))
    return dict(tracks=tracks, more=len(rows_of) - len(tracks))
