"""Recordings with probabilities that are made up, for pages that need no encoder."""
import numpy as np
from hostile_store import HOSTILE

from mmskelssl.inference.clips import clips_in_memory
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.timeline import Timeline
from mmskelssl.inference.windows import cut
from mmskelssl.layouts import get_layout
from tests.conftest import random_clip


def make_timeline(seconds: int, persons: int = 1, classes: int = 9, fps: float = 30) -> Timeline:
    """Return a recording with a hostile name, whose class changes every three seconds."""
    rng, layout = np.random.default_rng(0), get_layout('ntu25')
    part = random_clip(rng, layout, persons, int(min(seconds, 60) * fps))
    day = np.tile(part, (1, -(-seconds // 60), 1, 1))[:, :int(seconds * fps)]
    clips = clips_in_memory([day], layout, 3, fps, [f'{HOSTILE[0]} {HOSTILE[3]}'])
    parts, windows = cut(clips, 2, .5, fps, per_person=persons > 1)
    best = np.array([int(window.start // 3) % classes for window in windows])
    chances = np.full((len(windows), classes), .1 / (classes - 1), np.float32)
    chances[np.arange(len(windows)), best] = .9
    names = [*HOSTILE, *(f'class {c}' for c in range(classes))][:classes]
    return Timeline(clips, windows, Predictions(list(parts.ids), names, chances))
