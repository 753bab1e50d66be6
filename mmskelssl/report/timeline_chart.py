"""The chart of a recording: the probabilities over time or, for many windows, when each class is the most probable."""
from itertools import groupby, pairwise

import numpy as np

from mmskelssl.inference.timeline import Timeline
from mmskelssl.report.charts import DASHES, PALETTE, Chart, figure, item, lanes, legend, plain, short
from mmskelssl.visualization.browsing import evenly

CLASSES, LANES = 6, 12
POINTS = 240  # windows with lines; the lines of more windows hide each other
SPANS, LINES = 2000, 200  # of a chart, and of its table


def timeline_chart(number: int, timeline: Timeline, rows: list[int], name: str) -> tuple[Chart, list[str]]:
    """Return the chart of a track, and what it leaves out.

    Args:
        number: Number of the track on the page.
        timeline: Of all tracks.
        rows: The windows of the track.
        name: Name of the track.
    """
    return (_lines if len(rows) <= POINTS else _spans)(number, timeline, rows, name)


def _lines(number: int, timeline: Timeline, rows: list[int], name: str) -> tuple[Chart, list[str]]:
    """Draw the probabilities of the classes as lines."""
    from bokeh.models import LegendItem
    chances, classes = timeline.predictions.probabilities[rows], timeline.predictions.classes
    times = [(timeline.windows[row].start + timeline.windows[row].end) / 2 for row in rows]
    best = sorted(np.argsort(-chances.max(0), kind='stable')[:CLASSES].tolist())
    made = figure(280, x_axis_label='seconds', y_axis_label='probability', y_range=(0, 1.02), name=f'track-{number}')
    items = []
    for i, label in enumerate(best):
        drawn = made.line(times, chances[:, label].astype(float).tolist(), color=PALETTE[i], line_width=2,
                          line_dash=DASHES[i // 2 % len(DASHES)])
        items.append(LegendItem(label=plain(short(classes[label])), renderers=[drawn]))
    made.add_layout(legend(items, 2), 'above')
    made.add_layout(_clock(number))
    table = [[f'{time:.2f}', *(f'{chance[label]:.2f}' for label in best)]
             for time, chance in zip(times, chances, strict=True)]
    return (Chart(f'track-{number}', 'Probabilities over time', f'Probabilities in {name} over {len(rows)} windows',
                  item(made), ['seconds', *(classes[label] for label in best)], table),
            [f'The chart has the {CLASSES} most probable of {len(classes)} classes.'] * (len(classes) > CLASSES))


def _spans(number: int, timeline: Timeline, rows: list[int], name: str) -> tuple[Chart, list[str]]:
    """Draw when each class is the most probable one."""
    classes, found = timeline.predictions.classes, _stretches(timeline, rows)
    seconds = np.zeros(len(classes))
    for start, end, label, _ in found:
        seconds[label] += end - start
    order = [int(label) for label in np.argsort(-seconds, kind='stable') if seconds[label]]
    lane = {label: min(i, LANES) for i, label in enumerate(order)}
    names = [classes[label] for label in order[:LANES]] + ['other classes'] * (len(order) > LANES)
    longest = sorted(sorted(found, key=lambda span: span[0] - span[1])[:SPANS])
    shares = ', '.join(f'{classes[label]} {100 * seconds[label] / seconds.sum():.0f} %' for label in order[:LANES])
    chart = lanes(f'track-{number}', 'Most probable class over time',
                  f'Most probable class in {name} over {len(rows)} windows; shares of the time: {shares}', names,
                  [(start, end, lane[label], chance) for start, end, label, chance in longest],
                  name=f'track-{number}', marks=[_clock(number)])
    chart.head = ['start (s)', 'end (s)', 'most probable class', 'mean probability']
    chart.table = [[f'{start:.2f}', f'{end:.2f}', classes[label], f'{chance:.2f}']
                   for start, end, label, chance in (found[i] for i in evenly(LINES, len(found)))]
    return chart, [note for note, needed in (
        ('The chart shows when each class is the most probable one; fainter means less probable.', True),
        (f'The {LANES} most frequent of {len(order)} classes have a lane.', len(order) > LANES),
        (f'The chart has the {SPANS} longest of {len(found)} stretches.', len(found) > SPANS),
        (f'The table has {LINES} of {len(found)} stretches, evenly spaced.', len(found) > LINES)) if needed]


def _stretches(timeline: Timeline, rows: list[int]) -> list[tuple[float, float, int, float]]:
    """Merge windows with the same most probable class: (start, end, class, mean probability).

    Windows overlap, so each one counts from halfway to the one before to halfway to the next. Nothing is drawn where
    there is no window, because the person is absent.
    """
    own = [timeline.windows[row] for row in rows]
    chances = timeline.predictions.probabilities[rows]
    best = chances.argmax(1).tolist()
    edges = [own[0].start, *((a.start + a.end + b.start + b.end) / 4 for a, b in pairwise(own)), own[-1].end]
    parts = [(max(edges[i], one.start), min(edges[i + 1], one.end), best[i], float(chances[i, best[i]]))
             for i, one in enumerate(own)]
    apart = np.cumsum([False, *(b[0] > a[1] for a, b in pairwise(parts))])
    merged = []
    for (_, label), group in groupby(range(len(parts)), lambda i: (apart[i], best[i])):
        some = [parts[i] for i in group]
        merged.append((some[0][0], some[-1][1], label, sum(part[3] for part in some) / len(some)))
    return merged


def _clock(number: int):
    """Return the line that follows the player."""
    from bokeh.models import Span
    return Span(location=0, dimension='height', line_color='#888888', line_width=2, name=f'track-time-{number}')
