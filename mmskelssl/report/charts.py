"""Charts of a page, drawn by Bokeh in the browser. Each has a table with the same numbers.

Colours are those of Okabe and Ito, which people with any colour vision can distinguish. Text and lines get the colours
of the page, light or dark, from ``report.js``.
"""
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PALETTE = ['#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#8A7FD1', '#7F7F7F']
MARKERS = ['circle', 'triangle', 'square', 'diamond', 'inverted_triangle', 'star', 'hex', 'plus']
DASHES = ['solid', 'dashed', 'dotted', 'dotdash']
_MATHS = re.compile(r'(?<=\$)(?=\$)|(?<=\\)(?=[\[(])')


@dataclass
class Chart:
    """A chart of the page.

    Args:
        key: Its id, unique on the page.
        title: Its heading.
        summary: What it shows, in a sentence for those who cannot see it.
        item: The figure as Bokeh's JSON; None if the summary says everything.
        head, table: Header and rows of the table behind it.
    """
    key: str
    title: str
    summary: str
    item: dict | None
    head: Sequence[str] = ()
    table: Sequence[Sequence[Any]] = field(default_factory=list)


def plain(text: str) -> str:
    """Return text that Bokeh shows as it is. Between ``$$`` or after ``\\(`` it would read a formula."""
    return _MATHS.sub('\u200b', str(text))


def look(index: int) -> tuple[str, str]:
    """Return colour and marker of a class; the first 64 differ."""
    return PALETTE[index % len(PALETTE)], MARKERS[(index // len(PALETTE) + index) % len(MARKERS)]


def figure(height: int = 220, **options):
    """Return an empty figure as wide as the page allows, without tools that would catch scrolling."""
    from bokeh.plotting import figure as bokeh_figure
    made = bokeh_figure(height=height, sizing_mode='stretch_width', toolbar_location=None, tools='',
                        background_fill_color=None, border_fill_color=None, outline_line_color=None,
                        min_border_right=12, output_backend='canvas', **options)
    made.toolbar.logo = None
    made.xgrid.grid_line_color = made.axis.minor_tick_line_color = None
    return made


def item(made) -> dict:
    """Return a figure as data for ``Bokeh.embed.embed_item``."""
    from bokeh.embed import json_item
    return json_item(made)


def legend(items: Sequence, columns: int):
    """Return a legend for a place above the figure."""
    from bokeh.models import Legend
    return Legend(items=list(items), orientation='horizontal', ncols=columns, location='left', padding=0, margin=0,
                  spacing=12, label_text_font_size='11px', background_fill_alpha=0, border_line_color=None)


def lines(key: str, title: str, series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str = '',
          marks: Sequence[tuple[float, str]] = (), summary: str = '') -> Chart:
    """Draw lines, each with its own colour and dash.

    Args:
        series: Name -> points (x, y). Values that are not finite leave gaps.
        x, y: Titles of the axes.
        marks: Places on the x axis to mark with a vertical line.
    """
    from bokeh.models import LegendItem, Span
    rows_of_legend = -(-len(series) // 2) if len(series) > 1 else 0
    made = figure(200 + 30 * rows_of_legend, x_axis_label=plain(x), y_axis_label=plain(y) or None)
    items = []
    for i, (name, points) in enumerate(series.items()):
        colour = PALETTE[i % len(PALETTE)]
        xs, ys = ([float(value) for value in column] for column in zip(*points, strict=True))
        ys = [value if np.isfinite(value) else float('nan') for value in ys]
        drawn = made.line(xs, ys, color=colour, line_width=2, line_dash=DASHES[i // len(PALETTE) % len(DASHES)])
        if len(points) < 40:
            made.scatter(xs, ys, color=colour, marker=MARKERS[i % len(MARKERS)], size=5)
        items.append(LegendItem(label=plain(name), renderers=[drawn]))
    for place, _ in marks:
        made.add_layout(Span(location=place, dimension='height', line_dash='dashed', line_color='#888888'))
    if len(series) > 1:
        made.add_layout(legend(items, 2), 'above')
    rows = [[name, len(points), points[0][1], points[-1][1], min(y for _, y in points), max(y for _, y in points)]
            for name, points in series.items()]
    shown = ', '.join(f'{name} from {row[2]:.3g} to {row[3]:.3g}' for name, row in zip(series, rows, strict=True))
    return Chart(key, title, summary or f'{title} over {x}: {shown}', item(made),
                 ['line', 'points', 'first', 'last', 'least', 'most'], rows)


def histogram(key: str, title: str, values: np.ndarray, unit: str) -> Chart:
    """Draw how often values occur."""
    from bokeh.models import SingleIntervalTicker
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Chart(key, title, f'The same for all {len(values)} clips: {low:.4g} {unit}', None)
    whole = bool((values == values.round()).all()) and high - low < 30
    some = min(30, max(5, len(np.unique(values))))
    bins: Any = np.arange(low, high + 2) - .5 if whole else some
    counts, edges = np.histogram(values, bins)
    gap = .1 if whole else 0.
    made = figure(200, x_axis_label=plain(unit), y_axis_label='clips')
    made.quad(top=counts.tolist(), bottom=0, left=(edges[:-1] + gap).tolist(), right=(edges[1:] - gap).tolist(),
              color=PALETTE[0], line_color=None, fill_alpha=.85)
    made.y_range.start = 0
    if whole:
        made.xaxis.ticker = SingleIntervalTicker(interval=max(1, round((high - low) / 8)))
    median = float(np.median(values))
    rows = [[f'{a:.4g} to {b:.4g}' if not whole else f'{(a + b) / 2:.4g}', int(count)]
            for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True) if count]
    return Chart(key, title, f'{title}: {low:.4g} to {high:.4g} {unit}, median {median:.4g}', item(made),
                 [unit or title, 'clips'], rows)


def intervals(key: str, title: str, names: Sequence[str], values: Sequence[float],
              bounds: Sequence[tuple[float, float]], counts: Sequence[int]) -> Chart:
    """Draw a bar with an interval for each class, in percent."""
    from bokeh.models import ColumnDataSource, FactorRange, Whisker
    shown = _distinct([plain(short(name)) for name in names])
    made = figure(max(140, 60 + 22 * len(names)), y_range=FactorRange(factors=shown[::-1]), x_range=(0, 100),
                  x_axis_label='% correct')
    data = dict(name=shown, value=list(values), low=[low for low, _ in bounds], high=[high for _, high in bounds])
    source = ColumnDataSource(data)
    made.hbar(y='name', right='value', height=.7, source=source, color=PALETTE[0], fill_alpha=.75, line_color=None)
    made.add_layout(Whisker(base='name', upper='high', lower='low', source=source, dimension='width',
                            line_color='#888888', line_width=1.5))
    rows = [[name, f'{value:.1f}', f'{low:.1f} to {high:.1f}', count]
            for name, value, (low, high), count in zip(names, values, bounds, counts, strict=True)]
    worst = int(np.argmin(values))
    return Chart(key, title, f'{title}: least for {names[worst]}, {values[worst]:.0f} %', item(made),
                 ['class', '% correct', '95 % interval', 'clips'], rows)


def lanes(key: str, title: str, summary: str, names: Sequence[str], spans: Sequence[tuple[float, float, int, float]],
          marks: Sequence = (), **options) -> Chart:
    """Draw spans of time, a lane for each name. Spans of low strength are faint.

    Args:
        names: Names of the lanes, from the top.
        spans: (start, end, lane, strength from 0 to 1).
        marks: Lines of Bokeh to add.
        **options: For the figure.
    """
    from bokeh.models import ColumnDataSource, FactorRange
    shown = _distinct([plain(short(name, 14)) for name in names])  # leaves room for the time on a phone
    made = figure(70 + 22 * len(names), y_range=FactorRange(factors=shown[::-1]), x_axis_label='seconds', **options)
    start, end, lane, strength = zip(*spans, strict=True)
    made.hbar(y='lane', left='start', right='end', color='colour', alpha='alpha', height=.8, line_color=None,
              source=ColumnDataSource(dict(start=start, end=end, lane=[shown[i] for i in lane],
                                           colour=[PALETTE[i % len(PALETTE)] for i in lane],
                                           alpha=[round(.4 + .6 * value, 2) for value in strength])))
    made.x_range.range_padding = 0
    made.ygrid.grid_line_color = None
    for mark in marks:
        made.add_layout(mark)
    return Chart(key, title, summary, item(made))


def short(name: str, most: int = 24) -> str:
    """Return a name of at most ``most`` characters."""
    return name if len(name) <= most else f'{name[:most - 1]}…'


def _distinct(names: Sequence[str]) -> list[str]:
    """Number names that are equal, because Bokeh identifies rows by name."""
    made: list[str] = []
    for name in names:
        unique, n = name, 1
        while unique in made:
            n += 1
            unique = f'{name} ({n})'
        made.append(unique)
    return made
