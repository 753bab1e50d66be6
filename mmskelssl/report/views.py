"""What each augmentation of a run does to a clip, with several random draws."""
import numpy as np
from mmengine.config import Config

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.report.clips import ClipPacker, skeleton
from mmskelssl.report.sources import Source
from mmskelssl.visualization.views import ViewSteps

DRAWS, CLIPS = 3, 2
_LONGEST = 60  # seconds; clips of a pipeline are short


def view_part(source: Source, rows: np.ndarray, place: dict[int, int],
              packer: ClipPacker) -> tuple[dict | None, list[str]]:
    """Return the part of the page, or None, and why something is missing.

    A run on several stores shows a clip of each of the others as well, with its own skeleton and pipeline.

    Args:
        source: The run.
        rows: Positions of the clips in its store.
        place: Position in the store -> clip of the page.
        packer: Of the store.
    """
    assert source.store is not None
    clips = []
    try:
        for row in rows[:CLIPS]:
            clips.append(dict(clip=place[int(row)], views=_views(source.info, source.store, int(row), source, packer)))
    except UserError as error:
        return None, [f'the views cannot be shown: {error}']
    others, problems = source.others()
    for name, extractor in others.items():
        store = SkeletonStore(extractor.store)
        try:
            views = _views(extractor.info, store, 0, source, ClipPacker.of_store(store))
        except UserError as error:
            problems.append(str(error))
            continue
        clips.append(dict(title=f'{name}: {store.ids[0]}', views=views, skeleton=skeleton(store.layout)))
    return dict(clips=clips, draws=DRAWS), [f'views of a store of the pool cannot be shown: {one}' for one in problems]


def _views(info: dict, store: SkeletonStore, row: int, source: Source, packer: ClipPacker) -> list[dict]:
    """Return the views of a clip with their steps.

    Raises:
        UserError: If there is nothing to show.
    """
    preprocessor = info['model']['data_preprocessor']
    cfg = Config(dict(data=dict(pipeline=info['dataset']['pipeline']), model=dict(data_preprocessor={**preprocessor})))
    draws = [ViewSteps(store, cfg, source.path, seed).rows(row)[1:] for seed in range(DRAWS)]
    if not draws[0]:
        raise UserError('its views have no augmentations' if preprocessor.get('views') else
                        'a saved model does not keep the views of its pre-training')
    own = packer.for_every_frame()
    return [dict(title=view.title, steps=[_step(panels, own, store.channels) for panels in zip(
        *(draw[i].panels for draw in draws), strict=True)]) for i, view in enumerate(draws[0])]


def _step(panels, packer: ClipPacker, channels: int) -> dict:
    """Return one step with its clip after each draw. A step without random draws is kept once."""
    clips = [np.asarray(panel.keypoints)[..., :channels] for panel in panels]
    once = all(np.array_equal(clips[0], clip) for clip in clips[1:])
    kept = list(zip(panels, clips, strict=True))[:1 if once else None]
    return dict(title=panels[0].caption, draws=[
        dict(note=panel.note, **packer.pack(clip, _LONGEST, np.zeros(channels))) for panel, clip in kept])
