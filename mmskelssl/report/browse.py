"""A page with the clips of a store, for ``mmskelssl browse --html``."""
from collections.abc import Sequence

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.report.clips import LONGEST, ClipPacker, skeleton
from mmskelssl.report.page import render
from mmskelssl.visualization.browsing import class_name


def build_browser(store: SkeletonStore, rows: Sequence[int]) -> bytes:
    """Return the page.

    Args:
        store: The store.
        rows: Positions of the clips to show.
    """
    packer = ClipPacker.of_store(store)
    name = store.path.rstrip('/').rpartition('/')[2]
    packed = [packer.pack(store.keypoints(row)) for row in rows]
    clips = dict(id=[store.ids[row] for row in rows], name=[class_name(store, row) for row in rows], packed=packed)
    return render('browse.html', 'browser', dict(clips=clips, skeleton=skeleton(store.layout)),
                  ['player.js', 'theme.js', 'browse.js'], False, title=name,
                  subtitle=f'{len(rows)} of {len(store)} clips, layout {store.layout.name}', longest=LONGEST,
                  cut=any(clip['cut'] for clip in packed), assumed=not packer.fps_known)
