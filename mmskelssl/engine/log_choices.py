"""Logs what a config does not show at a glance: the rule of the learning rate, the clips, parts without effect."""
from collections.abc import Iterator, Mapping

from mmengine.dist import get_world_size
from mmengine.runner import Runner

from mmskelssl.datasets.pool import Pool
from mmskelssl.datasets.pool_sampler import shares
from mmskelssl.datasets.shard_sampler import ShardSampler
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.config_keys import other_names
from mmskelssl.engine.pool_config import is_pool
from mmskelssl.engine.streams import stream_of, stream_values
from mmskelssl.layouts.union import describe_joints


def log_choices(runner: Runner) -> None:
    """Log values that are not obvious from the text of the config."""
    for key, value in stream_values(runner.cfg).items():
        runner.logger.info(f'by_stream.{stream_of(runner.cfg)}: {key} = {value!r}')
    runner.logger.info(_learning_rate_rule(runner))
    for line in _never_reached(runner):
        runner.logger.warning(line)
    loader = runner.train_loop.dataloader
    for line in _ways_to_clips(loader.dataset):
        runner.logger.info(line)
    if isinstance(loader.sampler, ShardSampler):
        runner.logger.info(loader.sampler.describe())
    if is_pool(runner.cfg.data):
        _log_pool(runner)
    others = other_names(runner.cfg)
    if others:
        runner.logger.warning(f'{runner.cfg.filename}: nothing reads {", ".join(others)}')


def _ways_to_clips(dataset) -> list[str]:
    """State for each store whether its clips come from a cache."""
    ways = dict(cache='read from the cache', batch='preprocessed per batch')
    return [f'clips of {part.store.path}: {ways[part.preprocess]} ({part.chosen})'
            for part in getattr(dataset, 'members', [dataset]) if hasattr(part, 'chosen')]


def _learning_rate_rule(runner: Runner) -> str:
    """State whether the learning rate is scaled with the number of clips in a step."""
    scale, batch, world = runner.cfg.get('auto_scale_lr') or {}, runner.train_dataloader.batch_size, get_world_size()
    clips = f'{batch * world} clips in a step' + (f' ({world} processes, {batch} each)' if world > 1 else '')
    if scale.get('enable'):
        base = scale['base_batch_size']
        return f'learning rate: times {batch * world / base:g}, for {clips} instead of {base}'
    return f'learning rate: as in the config, for {clips}' + (
        '; --auto-scale-lr scales it with their number' if world > 1 else '')


def _never_reached(runner: Runner) -> Iterator[str]:
    """Yield a line for each part of the schedule that comes after the end of the run, such as a shortened one."""
    schedulers = runner.cfg.get('param_scheduler') or []
    for i, part in enumerate([schedulers] if isinstance(schedulers, Mapping) else schedulers):
        loop, by_epoch = runner.train_loop, part.get('by_epoch', True)
        end, unit = (loop.max_epochs, 'epochs') if by_epoch else (loop.max_iters, 'iterations')
        steps = part.get('milestones') or [part.get('begin', 0)]
        if late := [step for step in steps if step >= end]:
            yield (f'param_scheduler.{i}: the run ends after {end} {unit}, before '
                   f'{"milestones" if "milestones" in part else "begin"} {", ".join(map(str, late))}')


def _log_pool(runner: Runner) -> None:
    """Log the shares of the stores and what they lack, and how to find clips that two of them have in common."""
    data = runner.train_loop.dataloader.dataset
    pool = Pool({entry.name: SkeletonStore(entry.store) for entry in runner.cfg.data.stores})
    for name, share, size in zip(data.names, shares(data), data.sizes, strict=True):
        layout = pool.stores[name].layout
        joints = f', {describe_joints(layout, pool.layout)}' if len(pool.layouts) > 1 else ''
        runner.logger.info(f'pool: {100 * share:.0f} % of each batch from the {size} training clips of {name} '
                           f'({layout.name}{joints})')
    for remark in pool.remarks():
        runner.logger.warning(f'pool: {remark}')
    paths = ' '.join(dict.fromkeys(store.path for store in pool.stores.values()))
    runner.logger.warning(f'pool: a test clip that another store has as a training clip makes accuracies too high: '
                          f'check with mmskelssl verify {paths} --near')
