"""The clips of a page, with what the parts need to know about them."""
import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.evaluation.splits import SplitPair
from mmskelssl.report.clips import ClipPacker
from mmskelssl.report.measures import Predictions
from mmskelssl.report.selection import Selection


class Shown:
    """The clips of a page.

    Args:
        store: Their store.
        selection: Which of its clips they are.
        pair: The splits that are compared, if any.
        predictions: Of the test clips, if they were measured.

    Attributes:
        place: Position in the store -> clip of the page.
        packer: Packs clips of the store.
    """

    def __init__(self, store: SkeletonStore, selection: Selection, pair: SplitPair | None,
                 predictions: Predictions | None):
        self.store, self.selection, self.pair, self.predictions = store, selection, pair, predictions
        self.place = {int(row): i for i, row in enumerate(selection.rows)}
        self.packer = ClipPacker.of_store(store)

    @property
    def splits(self) -> list[str]:
        """Splits that the map can show."""
        return [self.pair.train, self.pair.test] if self.pair else list(self.store.splits)

    @property
    def names(self) -> tuple[str, str]:
        """What is compared with what: the test and the training split, or all clips with each other."""
        return (self.pair.test, self.pair.train) if self.pair else ('all', 'all')

    @property
    def note(self) -> str:
        """Which clips are shown, if not all of them."""
        rows = self.selection.rows
        if len(rows) == len(np.union1d(*(self.store.split(name) for name in self.names))):
            return ''
        if self.pair is None:
            return f'{len(rows)} of {len(self.store)} clips are shown.'
        return (f'{len(rows)} clips are shown: {len(self.selection.queries)} of {self.pair.test}, their neighbours, '
                f'and evenly spaced ones of {self.pair.train}.')

    def table(self) -> dict[str, list]:
        """Return the clips, one column per property."""
        store, rows = self.store, self.selection.rows
        columns: dict[str, list] = dict(id=[store.ids[row] for row in rows], label=store.labels[rows].tolist(),
                                        frames=store.frames[rows].tolist(),
                                        packed=[self.packer.pack(store.keypoints(int(row))) for row in rows])
        if (found := self.predictions) is not None:
            at = {int(row): i for i, row in enumerate(found.rows)}
            tested = [at.get(int(row)) for row in rows]
            columns['predicted'] = [None if i is None else int(found.predicted[i]) for i in tested]
            columns['confidence'] = [None if i is None else round(float(found.confidence[i]), 3) for i in tested]
        return columns
