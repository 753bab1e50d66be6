"""Pre-trains and measures a config over splits, streams and seeds: pools folds, fuses streams and averages seeds."""
import json
import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mmskelssl.commands.benchmark_rows import FILES, average_seeds, join_streams, pool_folds
from mmskelssl.commands.measure import choose_recipes, evaluate_checkpoints
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete_randomness, load_config, split_pair
from mmskelssl.engine.pool_config import is_pool
from mmskelssl.engine.streams import stream_of
from mmskelssl.engine.train import train
from mmskelssl.engine.work_dir import checkpoints
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import TOGETHER, fixed_weights, parse_weights
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.recipe_names import settings_text
from mmskelssl.evaluation.results import add_results, print_table

_STREAM = 'model.data_preprocessor.stream'
Recipes = Sequence[str] | Mapping[str, Sequence[str]]  # names for all streams, or by stream


def benchmark(config: str, out: str, splits: Sequence[str] = (), streams: Sequence[str] = (),
              seeds: Sequence[int] = (), protocols: Sequence[str] = ('knn', 'linear'), recipes: Recipes | None = None,
              weights: str = 'equal', cfg_options: dict | None = None, imports: Sequence[str] = (),
              data: str | None = None, stage: str | None = None,
              init_from: Callable[[str], str | None] | None = None, show: bool = True) -> list[dict]:
    """Train and evaluate every combination, with a separate evaluation of each stage. Finished parts are skipped.

    Args:
        out: Output folder. Each run has its own subfolder. ``results.json`` in the folder contains the rows of all
            calls. Only a repeated measurement replaces its rows.
        splits: Values of ``data.split``. Default: that of the config. Several values are treated as folds, whose test
            parts are pooled.
        streams: Default: that of the config. Several streams are fused into rows of the stream ``2s``, ``3s`` or ``4s``
            (:func:`~mmskelssl.evaluation.ensemble.stream_of_members`).
        seeds: Default: that of the config, or 0. Several seeds are summarised in additional rows with the mean and the
            standard deviation ``std``.
        recipes: Names of recipes of any protocol. Default: the defaults of each protocol for the data.
        weights: Weights of the streams: a name, or numbers in the order of ``streams``
            (:func:`~mmskelssl.evaluation.ensemble.parse_weights`).
        data: Store to measure on. Default: the one of the pre-training.
        stage: Measure only this stage of a recipe: a name, or ``last``. Default: every stage and the untrained encoder.
        init_from: Maps the name of a run (:func:`run_name`) to a checkpoint that replaces its earlier stages.
        show: Whether to print the table.

    Returns:
        The rows of this call.
    """
    refuse_set_elsewhere(cfg_options or {}, {
        **({'data.split': '--splits'} if splits else {}), **({_STREAM: '--streams'} if streams else {}),
        **({'randomness.seed': '--seeds'} if seeds else {})})
    for option, values in (('--splits', splits), ('--streams', streams), ('--seeds', seeds)):
        if len(set(values)) < len(values):
            raise UserError(f'{option} {" ".join(map(str, values))}: name each only once')
    given = load_config(config, cfg_options or {})[-1][1]
    complete_randomness(given)
    streams, seeds = streams or [stream_of(given)], seeds or [given.randomness.seed]
    described = given.data
    if data is None and is_pool(described):
        raise UserError(f'{config} trains on several stores: name the one to measure on with --data')
    store = data or described.store
    chosen = recipes_by_stream(protocols, recipes, streams, osp.basename(osp.abspath(store)))
    weights = _check_weights(weights, streams)
    rows: list[dict] = []
    hashes: set[tuple] = set()
    for stream in streams:
        for seed in seeds:
            for split in splits or (None,):
                name = run_name(split, stream, seed)
                place, found = _run(config, osp.join(out, name), split, stream, seed, chosen[stream], cfg_options or {},
                                    imports, hashes, data, stage, init_from(name) if init_from else None)
                below = osp.relpath(place, out)
                rows += [{**row, **{key: f'{below}/{row[key]}' for key in FILES if row.get(key)}} for row in found]
    rows += join_streams(rows, out, streams, weights, chosen) if len(streams) > 1 else []
    rows = pool_folds(rows) if len(splits) > 1 else rows
    rows += average_seeds(rows) if len(seeds) > 1 else []
    # A single hash of each kind, or None if runs differ. Each row has its own hashes.
    config_hash, data_hash = (values.pop() if len(values) == 1 else None
                              for values in ({h for h, _ in hashes}, {h for _, h in hashes}))
    kept, _ = add_results(out, rows, config_hash, data_hash)
    if show:
        print_table(rows)
        print(osp.join(out, 'results.json') + f': {len(rows)} rows' + f', {kept} earlier rows kept' * bool(kept))
    return rows


def refuse_set_elsewhere(options: Mapping, places: Mapping[str, str]) -> None:
    """Raise if ``--cfg-options`` contains a key that the command sets itself. ``places`` names its options for keys."""
    def names(key: str, value) -> list[str]:
        return [name for part, inner in value.items() for name in names(f'{key}.{part}', inner)] if isinstance(
            value, Mapping) else [key]

    for option, value in options.items():
        for name in names(option.split('.', 2)[-1] if option.startswith('stages.') else option, value):
            if name in places:
                raise UserError(f'--cfg-options {option}: {places[name]} sets {name}, so this value would not be read: '
                                'leave out one of them')


def run_name(split: str | None, stream: str, seed: int) -> str:
    """Return the name of a run's folder."""
    return '_'.join(str(part) for part in (split, stream, f'seed{seed}') if part)


def recipes_by_stream(protocols: Sequence[str], recipes: Recipes | None, streams: Sequence[str],
                      data: str | None = None) -> dict[str, dict[str, list[str]]]:
    """Return stream -> protocol -> canonical names of recipes.

    Raises:
        UserError: If a recipe is unknown, or the streams do not have the same number of recipes.
    """
    named = recipes if isinstance(recipes, Mapping) else dict.fromkeys(streams, recipes)
    chosen = {stream: choose_recipes(protocols, named[stream], data) for stream in streams}
    if len({tuple((protocol, len(some)) for protocol, some in found.items()) for found in chosen.values()}) > 1:
        raise UserError('the streams need the same number of recipes of each protocol')
    return chosen


def _check_weights(weights: str, streams: Sequence[str]) -> str:
    weights = parse_weights(weights)
    if weights == 'validation':
        raise UserError('--weights validation: the probes would have to be fitted again; use evaluate ensemble with '
                        'the checkpoints of the streams')
    if len(streams) == 1 and weights != 'equal':
        raise UserError(f'--weights {weights} is for several streams: add --streams '
                        + ' '.join(TOGETHER.get(weights, TOGETHER['3s'])))
    fixed_weights(weights, streams)  # refuse others before hours of training
    return weights


def _run(config, folder, split, stream, seed, chosen, options, imports, hashes, data, stage,
         init_from) -> tuple[str, list[dict]]:
    """Train and measure one run. Returns the folder of its results.json, and the rows of the chosen recipes."""
    options = {**options, 'model.data_preprocessor.stream': stream, **({'data.split': split} if split else {})}
    # If the run is finished, this trains nothing but refuses a run of another config or of other data.
    train(config, folder, resume='auto', init_from=init_from, seed=seed, cfg_options=options)
    stages = load_config(config, options)
    ends = [checkpoints(stage_folder(folder, stages, name))[-1] for name in _measured_stages(stages, stage, init_from)]
    known = _Known(folder, {end: load_checkpoint(end)['meta']['mmskelssl']['config_hash'] for end in ends},
                   SkeletonStore(data or stages[-1][1].data.store).data_hash, stage is None)
    place = osp.join(folder, f'on_{osp.basename(osp.abspath(data))}') if data else folder
    file = osp.join(place, 'results.json')
    content = _read(file) if osp.isfile(file) else dict(results=[])
    for protocol, recipes in chosen.items():
        missing = [recipe for recipe in recipes if not known.complete(content['results'], protocol, recipe)]
        if missing:  # one protocol at a time, so that an interruption loses only one
            evaluate_checkpoints(ends, [protocol], place, imports=imports, recipes=missing, data=data, seed=seed,
                                 pairs=[':'.join(split_pair(split))] if split else None, untrained=stage is None)
            content = _read(file)
    hashes.add((content['config_hash'], content['data_hash']))
    return place, [row for protocol, recipes in chosen.items() for recipe in recipes
                   for row in known.rows(content['results'], protocol, recipe)]


def stage_folder(folder: str, stages: Sequence[tuple], name: str) -> str:
    """Return the folder of a stage in the folder of a run."""
    return osp.join(folder, name) if len(stages) > 1 else folder


def _measured_stages(stages: Sequence[tuple], stage: str | None, init_from: str | None) -> list[str]:
    names = [name for name, _ in stages][-1 if init_from else 0:]
    if stage is None:
        return names
    if stage != 'last' and stage not in names:
        raise UserError(f'stage {stage!r}: there are {", ".join(names)}')
    return [names[-1] if stage == 'last' else stage]


@dataclass(frozen=True)
class _Known:
    """Finds the rows of a run's present checkpoints, data and recipes in a results.json.

    Args:
        folder: Folder of the run.
        ends: Last checkpoint of each stage, and its ``config_hash``.
        data_hash: Hash of the store that is measured.
        untrained: Whether the untrained encoder belongs to the run's rows.
    """
    folder: str
    ends: Mapping[str, str]
    data_hash: str
    untrained: bool

    def rows(self, rows: Sequence[dict], protocol: str, recipe: str) -> list[dict]:
        """Return the rows of a recipe with its present settings."""
        wanted = (protocol, recipe, settings_text(PROTOCOLS[protocol].RECIPES[recipe]), self.data_hash)
        return [row for row in rows if self._encoder(row) and wanted == (
            row['protocol'], row.get('recipe'), row.get('settings'), row.get('data_hash'))]

    def complete(self, rows: Sequence[dict], protocol: str, recipe: str) -> bool:
        """Return whether every checkpoint has a row of a recipe."""
        found = {self._encoder(row) for row in self.rows(rows, protocol, recipe)}
        return found == {*self.ends, *(['untrained'] if self.untrained else [])}

    def _encoder(self, row: Mapping) -> str | None:
        """Return the checkpoint that a row belongs to, or ``untrained``. The folder may have been moved since."""
        path = row.get('checkpoint')
        if path is None:
            return 'untrained' if self.untrained and row.get('config_hash') in self.ends.values() else None
        return next((end for end, made in self.ends.items() if made == row.get('config_hash') and
                     (path == end or path.endswith(f'/{osp.relpath(end, self.folder)}'))), None)


def _read(file: str) -> dict:
    """Return the content of a results.json. Its rows name files below its folder only."""
    try:
        with open(file, encoding='utf-8') as stream:
            content = json.load(stream)
        texts = [row['protocol'] for row in content['results']]
        texts += [row.get('checkpoint') or '' for row in content['results']]
        texts += [content[key] for key in ('config_hash', 'data_hash') if content[key] is not None]
        inside = [row.get(key) or '' for row in content['results'] for key in FILES]
        if not all(isinstance(text, str) for text in [*inside, *texts]) or any(
                osp.isabs(name) or '..' in name.split('/') for name in inside):
            raise ValueError('a row names a file outside of the folder, or has another type')
        return content
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f'{file} cannot be read ({type(error).__name__}: {error}): delete it, and run again') from error
