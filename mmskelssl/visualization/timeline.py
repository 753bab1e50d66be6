"""Draw what a model sees in a recording: the skeleton above, the probabilities of the classes below."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmskelssl.errors import UserError, plottable
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.visualization.clips import strip

MAX_TRACKS, MAX_CLASSES = 8, 8


@dataclass(frozen=True)
class Track:
    """A recording, or one person of it.

    Args:
        title: Title.
        keypoints: (M, T, V, C).
        duration: Seconds.
        times: (W,) middle of each window in seconds.
        probabilities: (W, K).
        spans: (start, end, class number or -1) of segments.
    """
    title: str
    keypoints: np.ndarray
    duration: float
    times: np.ndarray
    probabilities: np.ndarray
    spans: Sequence[tuple[float, float, int]]


def draw_timeline(tracks: Sequence[Track], classes: Sequence[str], layout: SkeletonLayout, out: str) -> int:
    """Draw tracks below each other as a ``.png``. Returns how many were drawn, at most :data:`MAX_TRACKS`.

    The classes with the highest probabilities are drawn, at most :data:`MAX_CLASSES` of them. A segment has the colour
    of its class.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    shown = list(tracks)[:MAX_TRACKS]
    highest = np.max([track.probabilities.max(0) for track in shown], 0)
    chosen = sorted(np.argsort(-highest, kind='stable')[:MAX_CLASSES].tolist())
    colours = {label: f'C{i}' for i, label in enumerate(chosen)}
    figure = Figure(figsize=(11, 3.4 * len(shown)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * len(shown), 1, squeeze=False, height_ratios=[1.2, 1] * len(shown))[:, 0]
    for track, above, below in zip(shown, axes[::2], axes[1::2], strict=True):
        above.imshow(strip(track.keypoints, layout, 12, 150, width=110, follow=True)[..., ::-1], aspect='auto')
        above.set_title(plottable(track.title), fontsize=9, loc='left')
        above.axis('off')
        for label in chosen:
            below.plot(track.times, track.probabilities[:, label], '.-', color=colours[label], lw=1.2, ms=3,
                       label=plottable(classes[label]))
        for start, end, label in track.spans:
            if label >= 0:
                below.axvspan(start, end, color=colours.get(label, 'grey'), alpha=.15, lw=0)
        below.set(xlim=(0, track.duration), ylim=(0, 1.02), xlabel='seconds', ylabel='probability')
        below.legend(fontsize=7, loc='upper left', bbox_to_anchor=(1, 1))
    try:
        figure.savefig(out, dpi=100)
    except OSError as error:
        raise UserError(f'drawing: {out} cannot be written: {error.strerror or error}') from error
    return len(shown)
