"""Describes a plan of :mod:`mmskelssl.commands.reproduce_plan`: its state, and what is left to do and its cost."""
import os.path as osp

from mmskelssl.commands.papers import Column, Row
from mmskelssl.commands.reproduce_plan import Plan, Stage
from mmskelssl.commands.step_cost import Cost, measure_cost
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.config import complete, split_pair
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.recipes import FinetuneRecipe


def check(plan: Plan) -> None:
    """Check the configs. Splits, streams and seeds are not checked one by one, because each check reads the store.

    Raises:
        UserError: If an option does not exist, or a config does not match its store.
    """
    for run in {osp.dirname(run.folder): run for run in plan.runs()}.values():
        for stage in run.stages():
            complete(stage.cfg, run.seed)


def describe(plan: Plan, costs: bool = True) -> str:
    """Return the plan as text: each training with its state and cost on this machine, and what is measured.

    Args:
        costs: Whether to measure a few steps of each config.

    Raises:
        UserError: As for :func:`check`.
    """
    check(plan)
    lines, total, known = [], 0., dict[str, Cost]()
    for run in plan.runs():
        for stage in run.stages():
            done = stage.done()
            text = f'train {osp.splitext(osp.basename(run.config))[0]} {osp.relpath(stage.folder, plan.out)}: '
            text += f'{done} of {stage.epochs} epochs done'
            if costs and done < stage.epochs:
                cost = _cost(stage, known)
                seconds = (stage.epochs - done) * cost.epoch
                total += seconds
                text += f', about {duration(seconds)} ({cost.step:.2g} s a step)'
            lines.append(text)
    for row, column in plan.cells():
        if plan.entry.figure:
            lines.append(f'draw {plan.entry.figure} of {row.name}, {column.name}')
            continue
        recipes = dict.fromkeys(column.recipe_of(stream) for stream in row.streams)
        text = f'measure {row.name}, {column.name}: {column.protocol} {" ".join(recipes)}'
        text += f', weights {column.weights}' if len(row.streams) > 1 else ''
        if costs:
            seconds = _measuring(plan, row, column, known)
            total += seconds
            text += f', about {duration(seconds)}'
        lines.append(text)
    if costs:
        lines.append(f'in all about {duration(total)} on this machine, one process; estimated from a few steps, '
                     'as if nothing had been measured yet')
    return '\n'.join([*lines, *plan.notes])


def _cost(stage: Stage, known: dict[str, Cost]) -> Cost:
    """Return the cost of a stage. Streams, splits and seeds do not change it, but the number of clips does."""
    model = stage.cfg.model.to_dict()
    model['data_preprocessor'] = {**model['data_preprocessor'], 'stream': None}
    key = repr((model, stage.cfg.data.store, stage.split, stage.cfg.train_dataloader))
    if key not in known:
        known[key] = measure_cost(complete(stage.cfg)[0], stage.split)
    return known[key]


def _measuring(plan: Plan, row: Row, column: Column, known: dict[str, Cost]) -> float:
    """Return the seconds of feature extraction, and of training where a recipe trains the encoder."""
    run = next(run for run in plan.runs() if osp.dirname(run.folder) == plan.folder(row, column))
    cost = _cost(run.stages()[-1], known)
    store = SkeletonStore(plan.stores[column.on or column.data])
    train, test = (len(store.split(split)) for split in split_pair(column.split))
    seconds = 0.
    for stream in row.streams if len(row.streams) == 1 else ():  # several are fused from their own rows
        recipe = PROTOCOLS[column.protocol].RECIPES[column.recipe_of(stream)]
        seconds += (train + test) * cost.feature_clip
        if isinstance(recipe, FinetuneRecipe):
            seconds += recipe.epochs * train * column.share * cost.tuned_clip
    return seconds


def duration(seconds: float) -> str:
    """Return a duration in a readable unit."""
    for unit, size in (('days', 86400), ('h', 3600), ('min', 60)):
        if seconds >= size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'
