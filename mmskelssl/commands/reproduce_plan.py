"""Plans an entry of :mod:`mmskelssl.commands.papers`: which stores and which trainings."""
import os.path as osp
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmengine.config import Config

from mmskelssl.commands.benchmark_runs import refuse_set_elsewhere, run_name, stage_folder
from mmskelssl.commands.configs import find_config
from mmskelssl.commands.papers import CLASSES, DATASETS, LAYOUTS, Column, Entry, Row
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.config import load_config, split_pair
from mmskelssl.engine.work_dir import checkpoints
from mmskelssl.errors import UserError
from mmskelssl.names import file_name


@dataclass
class Plan:
    """An entry with the stores that exist here.

    Args:
        entry: The entry, with the rows and columns that are wanted.
        stores: Data set -> path of its store.
        out: Output folder of all entries, which share their trainings.
        seeds: Seeds of pre-training.
        options: Changes to all configs.
        notes: What is left out, and why.
    """
    entry: Entry
    stores: Mapping[str, str]
    out: str
    seeds: Sequence[int] = (0,)
    options: Mapping = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def config(self, row: Row, column: Column) -> str:
        return find_config(f'{row.method or self.entry.method}_{column.like or column.data}')

    def folder(self, row: Row, column: Column, base: bool = False) -> str:
        """Return the folder of the runs of a cell, or of those whose first stage they share."""
        name = f'{row.method or self.entry.method}_{column.data}'
        for key, value in ({} if base else row.options).items():
            values = value if isinstance(value, tuple) else (value,)
            name += f'-{key.rpartition(".")[2]}_{".".join(map(str, values))}'
        return osp.join(self.out, file_name(name))

    def changes(self, row: Row, column: Column, base: bool = False) -> dict:
        """Return the options of the runs of a cell."""
        return {**self.options, **({} if base else row.options), 'data.store': self.stores[column.data]}

    def run(self, row: Row, column: Column, stream: str, seed: int, base: bool = False) -> 'Run':
        """Return a run of a cell, or the one whose first stage it shares (``base``)."""
        options = {**self.changes(row, column, base), 'data.split': column.split,
                   'model.data_preprocessor.stream': stream}
        folder = osp.join(self.folder(row, column, base), run_name(column.split, stream, seed))
        return Run(self.config(row, column), folder, options, seed, 0 if base or row.shared is None else 1)

    def shared(self, row: Row, column: Column) -> dict[str, tuple['Run', str]]:
        """Return the run whose first stage each run of a cell shares, and its checkpoint, by the name of the run."""
        found = {}
        for stream in row.streams if row.shared else ():
            for seed in self.seeds:
                run = self.run(row, column, stream, seed, base=True)
                stage = next(stage for stage in run.stages() if stage.name == row.shared)
                found[osp.basename(run.folder)] = run, osp.join(stage.folder, f'epoch_{stage.epochs}.pth')
        return found

    def cells(self) -> list[tuple[Row, Column]]:
        return [(row, column) for column in self.entry.columns for row in self.entry.rows]

    def runs(self) -> list['Run']:
        """Return the trainings, each once, with those that others start from first."""
        runs: dict[str, Run] = {}
        for row, column in self.cells():
            for base in (True, False) if row.shared else (False,):
                for stream in row.streams:
                    for seed in self.seeds:
                        run = self.run(row, column, stream, seed, base)
                        runs.setdefault(run.folder, run)
        return list(runs.values())


@dataclass(frozen=True)
class Run:
    """A training. ``skip`` is the number of first stages that another run has trained."""
    config: str
    folder: str
    options: Mapping
    seed: int
    skip: int

    def stages(self) -> list['Stage']:
        """Return the stages of the config.

        Raises:
            UserError: If an option does not exist.
        """
        found = load_config(self.config, dict(self.options))
        return [Stage(name, cfg, stage_folder(self.folder, found, name)) for name, cfg in found][self.skip:]


@dataclass(frozen=True)
class Stage:
    """A stage of a training: its name, config and folder."""
    name: str
    cfg: Config
    folder: str

    @property
    def epochs(self) -> int:
        return self.cfg.train_cfg.max_epochs

    @property
    def split(self) -> str:
        """Training split."""
        return split_pair(self.cfg.data.split)[0]

    def done(self) -> int:
        """Return the number of epochs in the last checkpoint."""
        found = [re.fullmatch(r'epoch_(\d+)\.pth', osp.basename(path)) for path in checkpoints(self.folder)]
        return min(self.epochs, max((int(match[1]) for match in found if match), default=0))


def make_plan(entry: Entry, given: Sequence[str], out: str, seeds: Sequence[int] = (0,), options: Mapping | None = None,
              rows: Sequence[str] = (), columns: Sequence[str] = ()) -> Plan:
    """Choose rows, columns and stores.

    Args:
        given: Stores as ``NAME=PATH``, or as ``PATH`` whose last part is the name of a data set or for an entry with a
            single data set. Default: the stores that the configs name.
        rows, columns: Names to keep. Default: all. Columns without a store are left out.

    Raises:
        UserError: If there is no such row or column, a store does not match its data set, or none is left.
    """
    refuse_set_elsewhere(options or {}, {
        'data.store': '--data', 'data.split': '--columns', 'model.data_preprocessor.stream': '--rows',
        'randomness.seed': '--seeds'})
    chosen = replace(entry, rows=_keep('--rows', entry.rows, rows), columns=_keep('--columns', entry.columns, columns))
    names = list(dict.fromkeys(name for column in chosen.columns for name in (column.data, column.on) if name))
    stores = _named(given, names)
    plan = Plan(chosen, stores, out, list(dict.fromkeys(seeds)), options or {})
    for name in names:
        if name not in stores:
            column = next(column for column in chosen.columns if name in (column.data, column.on))
            like = column.like if column.data == name and column.like else name
            data = load_config(find_config(f'{entry.method}_{like}'))[-1][1].data
            default = f'data/{name}'
            if osp.isdir(default):
                plan.stores = {**plan.stores, name: default}
            else:
                plan.notes.append(f'{DATASETS[name]} is left out, because there is no {default}; make it with: '
                                  f'{data.prepare if like == name else "docs/data.md"}')
    kept = tuple(column for column in chosen.columns if {column.data, column.on or column.data} <= set(plan.stores))
    if not kept:
        raise UserError(f'{entry.name}: ' + '; '.join(plan.notes) + '; or name another place with --data')
    plan.entry = replace(chosen, columns=kept)
    for name in {name: None for column in kept for name in (column.data, column.on) if name}:
        plan.notes += _check_store(name, plan.stores[name], [
            column for column in kept if name == (column.on or column.data) or name == column.data])
    return plan


def _keep(option: str, items: tuple, names: Sequence[str]) -> tuple:
    known = [item.name for item in items]
    for name in names:
        if name not in known:
            raise UserError(f'{option} {name!r}: there are {", ".join(map(repr, known))}')
    return tuple(item for item in items if not names or item.name in names)


def _named(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    stores: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition('=')
        if not equals:
            path, last = text, osp.basename(osp.abspath(text))
            name = last if last in DATASETS else names[0] if len(names) == 1 else ''
        if name not in DATASETS:
            raise UserError(f'--data {text}: say which data set it is, as in {names[0]}={path or text}; there are '
                            f'{", ".join(DATASETS)}')
        if name not in names:
            raise UserError(f'--data {text}: this entry has {", ".join(names)}, not {name}')
        if name in stores:
            raise UserError(f'--data: {name} is given twice')
        if not osp.isdir(path):
            raise UserError(f'--data {text}: no store at {path}')
        stores[name] = path
    return stores


def _check_store(name: str, path: str, columns: Sequence[Column]) -> list[str]:
    """Check layout and splits of a store. Returns notes on what differs from the data set."""
    store = SkeletonStore(path)
    if store.layout.name != LAYOUTS[name]:
        raise UserError(f'{path} has layout {store.layout.name!r}, and {DATASETS[name]} has {LAYOUTS[name]!r}: this is '
                        'another data set')
    for column in columns:
        missing = [split for split in split_pair(column.split) if split not in store.splits]
        if missing:
            raise UserError(f'{path} has no split {missing[0]!r}, which {column.name} needs; it has '
                            f'{", ".join(store.splits) or "none"}')
    count = len(store.classes) or int(store.labels.max()) + 1
    if name in CLASSES and count != CLASSES[name]:
        return [f'{path} has {count} classes, and {DATASETS[name]} has {CLASSES[name]}: the published numbers are for '
                'other data']
    return []
