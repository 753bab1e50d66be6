"""The data of a page: lengths, persons, missing joints, movement, and classes by split."""
import numpy as np

from mmskelssl.datasets.store.near import Near
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.statistics import store_stats
from mmskelssl.report.charts import histogram
from mmskelssl.report.sources import class_names

SHOWN = 50  # near duplicates


def data_part(store: SkeletonStore, same: dict[int, Near], searched: int, where: str,
              pair_names: tuple[str, str], place: dict[int, int]) -> dict:
    """Return the part of the page.

    Args:
        store: The store.
        same: Near duplicates among the clips that were compared, by position.
        searched: Number of clips that were compared.
        where: Which clips these are, if not all of the split.
        pair_names: Names of the test and the training split.
        place: Position in the store -> clip of the page.
    """
    stats = store_stats(store.path)
    rate, units = store.head.get('fps'), stats['units'] or 'units'
    lengths = stats['lengths'] / rate if rate else stats['lengths']
    charts = [histogram('data-length', 'Length', np.asarray(lengths, float), 'seconds' if rate else 'frames'),
              histogram('data-persons', 'Persons', stats['persons'], 'persons in a clip'),
              histogram('data-missing', 'Missing joints', 100 * stats['missing'], '% of the joints of a clip'),
              histogram('data-energy', 'Motion energy', stats['energy'], f'{units} per frame')]
    twins = sorted(same.values(), key=lambda near: near.distance)
    return dict(charts=charts, classes=classes_by_split(store), splits=list(store.splits), searched=searched,
                where=where, test=pair_names[0], train=pair_names[1], twins=len(twins), near=[
                    dict(clip=place.get(near.sample), other=place.get(near.other), id=store.ids[near.sample],
                         other_id=store.ids[near.other], distance=near.distance) for near in twins[:SHOWN]])


def classes_by_split(store: SkeletonStore) -> list[list]:
    """Return a row for each class: its name, its number of clips, and that number in each split."""
    names = class_names(store)
    members = [store.labels[store.split(split)] for split in store.splits]
    rows: list[list] = [[name, int((store.labels == c).sum()), *(int((labels == c).sum()) for labels in members)]
                        for c, name in enumerate(names)]
    if (bare := int((store.labels < 0).sum())):
        rows.append(['no label', bare, *(int((labels < 0).sum()) for labels in members)])
    return rows

