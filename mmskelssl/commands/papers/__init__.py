"""The tables and figures of the papers, as data: what is trained, how it is measured, and what was published.

A paper is a module with ``ENTRIES``. An entry has rows, which are trainings, and columns, which are measurements. Both
name things that also exist on the command line: configs and their options, streams, splits, protocols, recipes and
weights. :mod:`mmskelssl.commands.reproduce_runs` runs them.

Published numbers are those whose source could be read; others are left out. The numbering is not that of the papers:
``table1``, ``table2`` and so on count the tables here.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STREAMS = ('joint', 'bone', 'motion')
DATASETS = dict(ntu60='NTU60', ntu120='NTU120', pkummd1='PKU-MMD I', pkummd2='PKU-MMD II', cmu='CMU',
                nwucla='NW-UCLA')
LAYOUTS = dict(ntu60='ntu25', ntu120='ntu25', pkummd1='ntu25', pkummd2='ntu25', cmu='cmu31', nwucla='kinect20')
CLASSES = dict(ntu60=60, ntu120=120, pkummd1=51, cmu=45, nwucla=10)
SPLITS = dict(xsub='x-sub', xview='x-view', xset='x-set')


@dataclass(frozen=True)
class Row:
    """What is trained.

    Args:
        name: Name in the table.
        method: First part of the config's name. Default: the method of the entry.
        streams: Several streams are fused.
        stage: Stage of the recipe that is measured: a name, or ``last``.
        options: Changes to the config, as for ``--cfg-options``.
        shared: Stage of the recipe that these options leave unchanged. It is trained only once, in the run without
            options.
    """
    name: str
    method: str | None = None
    streams: tuple[str, ...] = ('joint',)
    stage: str = 'last'
    options: Mapping[str, Any] = field(default_factory=dict)
    shared: str | None = None


@dataclass(frozen=True)
class Column:
    """How it is measured.

    Args:
        data: Data set: the second part of the config's name, and the name of its store.
        split: Split of pre-training and measuring, the config's ``data.split``.
        protocol: Name of the protocol.
        recipe: Name of the recipe, or of that of each stream.
        weights: Weights of the streams.
        share: Share of the training labels.
        on: Data set to measure on, if it is another one (transfer).
        number: Field of results.json.
        like: Data set whose config is used, if there is no published one for ``data``.
        note: Addition to the name in the table.
    """
    data: str
    split: str
    protocol: str = 'linear'
    recipe: str | Mapping[str, str] = ''
    weights: str = 'equal'
    share: float = 1.
    on: str | None = None
    number: str = 'top1'
    like: str | None = None
    note: str = ''

    @property
    def name(self) -> str:
        """Name in the table, such as ``NTU60 x-sub``."""
        data = DATASETS[self.data] + (f' to {DATASETS[self.on]}' if self.on else '')
        share = f'{100 * self.share:g} %' if self.share != 1 else ''
        return ' '.join(part for part in (data, SPLITS.get(self.split, ''), share, self.note) if part)

    def recipe_of(self, stream: str) -> str:
        return self.recipe if isinstance(self.recipe, str) else self.recipe[stream]


@dataclass(frozen=True)
class Entry:
    """A table or a figure.

    Args:
        name: ``table1``, ``figure1``, ...
        title: Title.
        method: Method of its rows.
        rows: Rows.
        columns: Columns. Those of a figure name the data only.
        published: (row, column) -> value in percent and source.
        figure: ``masks`` or ``tsne``. Default: a table.
        note: Text below the table.
    """
    name: str
    title: str
    method: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    published: Mapping[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    figure: str | None = None
    note: str = ''


def streams_and_fusion() -> tuple[Row, ...]:
    """Return a row for each stream, and one that fuses them."""
    return (*(Row(stream, streams=(stream,)) for stream in STREAMS), Row('three streams', streams=STREAMS))


def published(source: str, row: str, values: Mapping[str, float]) -> dict[tuple[str, str], tuple[float, str]]:
    """Return the published numbers of a row from one source."""
    return {(row, column): (value, source) for column, value in values.items()}


def entries(paper: str) -> Sequence[Entry]:
    """Return the entries of a paper in :data:`PAPERS`."""
    from importlib import import_module
    return import_module(f'mmskelssl.commands.papers.{paper}').ENTRIES


PAPERS = {
    'actclr': 'ActCLR (Lin et al., CVPR 2023)',
    'skeattnclr': 'SkeAttnCLR (Hua et al., IJCAI 2023)',
    'crrl': 'CRRL (Wang et al., IEEE TIP 2022)',
}
