"""What each augmentation of a run does to a clip, with several random draws."""
import numpy as np
from mmengine.config import Config

from mmskelssl.errors import UserError
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.sources import Source
from mmskelssl.visualization.views import ViewSteps

DRAWS, CLIPS = 3, 2
_LONGEST = 60  # seconds; clips of a pipeline are short


def view_part(source: Source, rows: np.ndarray, place: dict[int, int], packer: ClipPacker) -> tuple[dict | None, str]:
    """Return the part of the page, or None and the reason why there is none.

    Args:
        source: The run.
        rows: Positions of the clips in its store.
        place: Position in the store -> clip of the page.
        packer: Of the store.
    """
    store, info = source.store, source.info
    assert store is not None
    cfg = Config(dict(data=dict(pipeline=info['dataset']['pipeline']), model=dict(
        data_preprocessor={**info['model']['data_preprocessor']})))
    own = packer.for_every_frame()
    clips = []
    try:
        for row in rows[:CLIPS]:
            draws = [ViewSteps(store, cfg, source.path, seed).rows(int(row))[1:] for seed in range(DRAWS)]
            if not draws[0]:
                return None, 'Its views have no augmentations' if _has_views(info) else \
                    'A saved model does not keep the views of its pre-training'
            views = [dict(title=view.title, steps=[_step(panels, own, store.channels) for panels in zip(
                *(draw[i].panels for draw in draws), strict=True)]) for i, view in enumerate(draws[0])]
            clips.append(dict(clip=place[int(row)], views=views))
    except UserError as error:
        return None, str(error)
    return dict(clips=clips, draws=DRAWS), ''


def _has_views(info: dict) -> bool:
    return bool(info['model']['data_preprocessor'].get('views'))


def _step(panels, packer: ClipPacker, channels: int) -> dict:
    """Return one step with its clip after each draw. A step without random draws is kept once."""
    clips = [np.asarray(panel.keypoints)[..., :channels] for panel in panels]
    once = all(np.array_equal(clips[0], clip) for clip in clips[1:])
    kept = list(zip(panels, clips, strict=True))[:1 if once else None]
    return dict(title=panels[0].caption, draws=[
        dict(note=panel.note, **packer.pack(clip, _LONGEST, np.zeros(channels))) for panel, clip in kept])
