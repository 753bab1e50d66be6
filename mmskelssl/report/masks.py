"""The masks of methods that have one, painted on clips."""
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate

from mmskelssl.errors import UserError
from mmskelssl.evaluation.attention import masks_of
from mmskelssl.report.charts import DASHES, PALETTE, figure, item, legend, plain
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.sources import Source

CLIPS = 8
_OTHERS = 128  # further clips in the batch: ActCLR's anchor is their average


@dataclass
class Masks:
    """The masks of one source: (M, T, V) of each clip, as long as the clip."""
    name: str
    method: str
    of_clips: list[np.ndarray]


def masks_of_sources(sources: list[Source], rows: np.ndarray) -> tuple[list[Masks], list[str]]:
    """Return the masks of all sources that have one, for clips of their common store, and why one has none."""
    made, notes = [], []
    for source in sources:
        if source.extractor is None or not hasattr(source.extractor.model, 'attention_map'):
            continue
        try:
            made.append(Masks(source.name, source.method, _masks(source, rows)))
        except UserError as error:
            notes.append(f'{source.name}: {error}')
    return made, notes


def _masks(source: Source, rows: np.ndarray) -> list[np.ndarray]:
    store = source.store
    assert store is not None and source.extractor is not None
    dataset = source.extractor.dataset(store.path, 'all')
    ids = [str(name) for name in dataset.ids]
    place = {name: i for i, name in enumerate(ids)}
    own = [place[store.ids[row]] for row in rows]
    others = [i for i in range(0, len(ids), max(1, len(ids) // _OTHERS)) if i not in own]
    torch.manual_seed(0)
    masks, _ = masks_of(source.extractor.model, dataset, [*own, *others])
    made = []
    for mask, row in zip(masks, rows, strict=False):
        clip = store.keypoints(int(row))
        full = interpolate(mask[None], (clip.shape[1], store.layout.num_joints), mode='bilinear')[0].numpy()
        missing = max(0, len(clip) - len(full))  # persons that the pipeline has dropped
        made.append(np.pad(full[:len(clip)], ((0, missing), (0, 0), (0, 0))))
    return made


def mask_part(masks: list[Masks], rows: np.ndarray, clips: list[np.ndarray], place: dict[int, int],
              packer: ClipPacker, joints: list[str]) -> dict:
    """Return the part of the page.

    Args:
        masks: At least one.
        rows, clips: Positions of the clips in the store, and their keypoints.
        place: Position in the store -> clip of the page.
        joints: Names of the joints.
    """
    shown = []
    for i, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        persons = np.asarray(clip.any((1, 2, 3)))
        persons = persons if persons.any() else np.ones_like(persons)  # as ClipPacker.pack
        kept = packer.frames(clip.shape[1])
        entry = dict(clip=place[int(row)], times=(np.arange(len(kept)) / packer.fps).round(3).tolist(), of=[])
        for one in masks:
            mask = one.of_clips[i]
            low, high = float(mask.min()), float(mask.max())
            scaled = (mask - low) / (high - low) if high > low else np.clip(mask, 0, 1)
            own = mask[persons]
            mean = own.mean((0, 1))
            best = np.argsort(-mean, kind='stable')[:6]
            entry['of'].append(dict(
                weights=packer.pack_weights(scaled, clip.shape[1], persons),
                low=round(low, 3), high=round(high, 3), curve=own.mean((0, 2))[kept].round(4).tolist(),
                top=[[joints[v], round(float(mean[v]), 3)] for v in best]))
        shown.append(entry)
    return dict(names=[f'{one.name} ({one.method})' if one.method not in ('', one.name) else one.name
                       for one in masks], clips=shown, chart=_curve(masks))


def _curve(masks: list[Masks]) -> dict:
    """Return the chart of the mean mask over time. ``report.js`` fills it for the clip that is played."""
    from bokeh.models import ColumnDataSource, LegendItem, Span
    made = figure(180, x_axis_label='seconds', y_axis_label='mean of the mask', name='mask-curve')
    items = []
    for i, one in enumerate(masks):
        source = ColumnDataSource(dict(x=[], y=[]), name=f'mask-{i}')
        drawn = made.line('x', 'y', source=source, color=PALETTE[i % len(PALETTE)], line_width=2,
                          line_dash=DASHES[i % len(DASHES)])
        items.append(LegendItem(label=plain(one.name), renderers=[drawn]))
    if len(masks) > 1:
        made.add_layout(legend(items, 3), 'above')
    made.add_layout(Span(location=0, dimension='height', line_color='#888888', line_width=2, name='mask-time'))
    return item(made)
