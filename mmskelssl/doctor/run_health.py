"""Checks of a run from its curves and its newest checkpoint. No code of the work_dir is executed."""
import glob
import json
import math
import os.path as osp
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from mmskelssl.datasets.store.near import LIMIT
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.verify import verify_across
from mmskelssl.doctor.finding import FAULT, NOTE, OK, Finding, judge
from mmskelssl.doctor.store_health import check_store, from_fault
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_checkpoint
from mmskelssl.engine.checkpoint_schema import describe
from mmskelssl.engine.collapse import features_alike, loss_at_chance, views_lost
from mmskelssl.engine.work_dir import newest_sound
from mmskelssl.errors import UserError
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.visualization.curves import read_scalars

EARLY = .2  # share of a run in which problems may still disappear
RISE = 1.05  # a loss that has grown by more than this factor has risen
COLLAPSE = 'lower the learning rate, add a warm-up, or raise the key momentum; larger batches or a queue help as well'


@dataclass(frozen=True)
class Run:
    """A stage of a run.

    Args:
        name: Prefix of messages, such as ``aimclr: ``; empty for a run of one stage.
        curves: Scalar -> iteration -> value.
        info: Description in the newest checkpoint; empty without one.
        decisive: Dotted key -> value of everything that determines the result; empty without a checkpoint.
        model: Model of the newest checkpoint, if it can be built.
    """
    name: str
    curves: dict[str, dict[int, float]]
    info: dict
    decisive: dict
    model: SkeletonEncoder | None

    def series(self, name: str) -> list[float]:
        """Return the values of a curve in the order of the iterations."""
        return [value for _, value in sorted(self.curves.get(name, {}).items())]

    def ends(self, name: str) -> tuple[float, float] | None:
        """Return the means of the first and the last tenth of a curve, or None if it is empty."""
        values = self.series(name)
        part = max(1, len(values) // 10)
        return (sum(values[:part]) / part, sum(values[-part:]) / part) if values else None

    def whole(self, key: str) -> int | None:
        """Return a positive whole number of the config, or None."""
        value = self.decisive.get(key)
        return value if type(value) is int and value > 0 else None

    @property
    def fraction(self) -> float:
        """Share of the run that is finished, 1 if unknown."""
        epochs, done = self.whole('train_cfg.max_epochs'), self.info.get('epoch')
        return min(1., done / epochs) if epochs and done is not None else 1.

    @property
    def severity(self) -> str:
        """Level of a problem that may still disappear at the beginning of a run."""
        return FAULT if self.fraction > EARLY else NOTE


def check_run(work_dir: str, near: bool | None = None) -> Iterator[Finding]:
    """Yield the findings about the stages of a run and about the store of the last one.

    Args:
        work_dir: Folder of the run.
        near: As for :func:`~mmskelssl.doctor.store_health.check_store`. By default, near duplicates are not searched.
    """
    stages = read_scalars(work_dir)
    data: dict = {}
    for stage, curves in stages.items():
        name = f'{stage}: ' if stage != '.' else ''
        try:
            run = open_run(name, osp.join(work_dir, stage), curves)
        except UserError as error:
            yield Finding(FAULT, f'{name}{error}')
            run = Run(name, curves, {}, {}, None)
        else:
            yield check_progress(run)
        measured = [partial(check_features, prefix=prefix) for prefix in measured_stores(run)]
        measured += [partial(check_knn, prefix=prefix) for prefix in measured_stores(run)]
        checks: tuple[Callable[[Run], Finding | None], ...] = (
            partial(check_finite, folder=osp.join(work_dir, stage)), check_trend, check_contrast_loss, check_views,
            *measured, check_rate)
        for check in checks:
            if finding := check(run):
                yield Finding(finding.level, name + finding.what, finding.cure)
        data = run.info.get('dataset') or data
    yield from check_data(data, bool(near))


def open_run(name: str, folder: str, curves: dict) -> Run:
    """Read the newest checkpoint of a stage.

    Raises:
        UserError: There are checkpoints, but none is intact, or its description is damaged.
    """
    path, _ = newest_sound(folder, resume=False)
    if path is None:
        return Run(name, curves, {}, {}, None)
    info = describe(load_checkpoint(path), path)
    try:
        decisive = json.loads(info.get('decisive', '{}'))
    except (RecursionError, ValueError):
        decisive = {}
    try:
        model = build_from_checkpoint(path)[0]
    except UserError:  # the class of a plug-in that is not imported
        model = None
    return Run(name, curves, info, decisive if isinstance(decisive, dict) else {}, model)


def check_progress(run: Run) -> Finding:
    """Report whether the run is finished."""
    if not run.info:
        return Finding(NOTE, f'{run.name}there is no checkpoint yet, so batch size and data are unknown',
                       'check again after the first one')
    epochs, done = run.whole('train_cfg.max_epochs'), run.info.get('epoch', 0)
    if epochs and done < epochs:
        return Finding(NOTE, f'{run.name}{done} of {epochs} epochs are done',
                       'if it is not running, continue with the same command and --resume')
    return Finding(OK, f'{run.name}all {done} epochs are done')


def check_finite(run: Run, folder: str) -> Finding:
    """Find losses that are NaN or infinite, and the batches that NonFiniteHook has saved."""
    saved = sorted(glob.glob(osp.join(glob.escape(folder), 'non_finite_iter_*.npz')))
    bad = [step for step, value in run.curves.get('loss', {}).items() if not math.isfinite(value)]
    cure = ('lower the learning rate or clip gradients (optim_wrapper.clip_grad); '
            + (f'the batch is in {saved[-1]}' if saved else 'mmskelssl verify checks the clips'))
    problem = f'the loss became NaN or infinite at iteration {min(bad)}' if bad else \
        'the run stopped because its loss was NaN or infinite' if saved else None
    return judge(problem, cure, 'the loss is finite')


def check_trend(run: Run) -> Finding | None:
    """Find a loss that rises: the learning rate is too high, or clips become harder to tell apart."""
    ends, found = run.ends('loss'), run.ends('batch_top1')
    if not ends or not all(map(math.isfinite, ends)) or len(run.series('loss')) < 2:
        return None
    rises = ends[0] > 0 and ends[1] > RISE * ends[0]
    text = f'the loss has {"risen" if rises else "gone"} from {ends[0]:.4g} to {ends[1]:.4g}'
    if rises and found and found[1] >= found[0]:  # a queue of better keys is a harder task
        return Finding(OK, f'{text}, but views find their own clip as often as before')
    return judge(text if rises else None, 'lower the learning rate, or add a warm-up', text, run.severity)


def check_contrast_loss(run: Run) -> Finding | None:
    """Compare the InfoNCE loss with the loss at chance."""
    name, batch = getattr(run.model, 'contrast_loss', None), run.whole('train_dataloader.batch_size')
    ends = run.ends(name) if name else None
    if run.model is None or not ends or not batch:
        return None
    candidates = run.model.candidates(batch * (run.whole('world_size') or 1))
    problem = loss_at_chance(ends[1], candidates, run.model.temperature)
    return judge(problem, f'the encoder does not distinguish clips: {COLLAPSE}',
                 f'the contrastive loss, {ends[1]:.3f}, is better than chance', run.severity)


def check_views(run: Run) -> Finding | None:
    """Apply the rule of the collapse alarm to the views of a batch."""
    top1, cosine, batch = run.ends('batch_top1'), run.ends('batch_cosine'), run.whole('train_dataloader.batch_size')
    if not top1 or not batch:
        return None
    return judge(views_lost(top1[1], cosine[1] if cosine else 0., batch), COLLAPSE,
                 f'{top1[1]:.0f} % of the views find their own clip in a batch of {batch}', run.severity)


def measured_stores(run: Run) -> list[str]:
    """Return the prefix of the curves of each store: ``val/``, or ``val/NAME/`` for the stores of a pool."""
    return sorted({f'{name.rpartition("/")[0]}/' for name in run.curves if name.startswith('val/')})


def _of(prefix: str) -> str:
    name = prefix.removeprefix('val/').rstrip('/')
    return f'{name}: ' if name else ''


def check_features(run: Run, prefix: str = 'val/') -> Finding | None:
    """Apply the rule of the collapse alarm to the features of the last measurement.

    Args:
        prefix: Prefix of the curves, see :func:`measured_stores`.
    """
    names = ('mean_cosine', 'feature_std')
    last = {f'val/{name}': run.series(prefix + name)[-1] for name in names if run.series(prefix + name)}
    if not last or max(len(run.series(prefix + name)) for name in names) < 2:  # only the untrained encoder is measured
        return None
    shown = ', '.join(f'{name.removeprefix("val/").replace("_", " ")} {value:.2f}' for name, value in last.items())
    alike = features_alike(last)
    return judge(alike and _of(prefix) + alike, COLLAPSE, f'{_of(prefix)}features of different clips differ ({shown})',
                 run.severity)


def check_knn(run: Run, prefix: str = 'val/') -> Finding | None:
    """Compare the accuracy of nearest neighbours with that of the untrained encoder."""
    values = run.series(f'{prefix}knn_top1')
    if len(values) < 2:
        return None
    text = f'{_of(prefix)}nearest neighbours reach {values[-1]:.1f} %, and {values[0]:.1f} % with the untrained encoder'
    worse = values[-1] < values[0]
    return judge(text if worse else None, 'measure both with intervals: mmskelssl evaluate knn WORK_DIR --untrained. '
                 'Weaker augmentations, or more epochs, may help', text, NOTE)


def check_rate(run: Run) -> Finding | None:
    """Check the schedule of the learning rate."""
    rates = run.series('lr')
    if not rates:
        return None
    highest = max(rates)
    if not highest > 1e-8:
        return Finding(FAULT, f'the learning rate never exceeds {highest:.3g}, so nothing is learned',
                       'set optim_wrapper.optimizer.lr, and check param_scheduler')
    if run.fraction == 1 and len(rates) > 2 and rates[-1] == highest and rates[0] < highest:
        return Finding(NOTE, f'the learning rate still rises at the end of the run, to {highest:.3g}',
                       'the warm-up in param_scheduler is longer than the run: shorten it')
    return Finding(OK, f'the learning rate is at most {highest:.3g}')


def check_data(data: dict, near: bool) -> Iterator[Finding]:
    """Yield the findings about the stores of a run."""
    if not data.get('stores'):
        yield from check_store_of_run(data, near)
        return
    for entry in data['stores']:
        yield from check_store_of_run(entry, near)
    paths = [*dict.fromkeys(entry['store'] for entry in data['stores'] if entry.get('store'))]
    if not near:
        yield Finding(NOTE, 'clips that two stores have in common were not searched',
                      f'mmskelssl verify {" ".join(paths)} --near')
        return
    try:
        faults = verify_across(paths, LIMIT)
    except UserError:  # reported for the store
        return
    yield from map(from_fault, faults) if faults else [Finding(OK, 'no clip of a store is like one of another store')]


def check_store_of_run(data: dict, near: bool) -> Iterator[Finding]:
    """Yield the findings about one store of a run."""
    path = data.get('store')
    if not path:
        yield Finding(NOTE, 'the store of the run is unknown, so duplicates and leaks were not searched',
                      'mmskelssl doctor STORE does')
        return
    if not osp.isfile(osp.join(path, 'index.json')):
        yield Finding(NOTE, f'there is no store at {path} any more, so duplicates and leaks were not searched',
                      'mmskelssl doctor STORE does')
        return
    try:
        trained_on, now = (data.get('about') or {}).get('data_hash'), SkeletonStore(path).data_hash
        if trained_on and trained_on != now:
            yield Finding(NOTE, f'{path} has changed since this run was trained on it',
                          'measure on the earlier version, or train again')
    except UserError:  # reported by check_store
        pass
    yield from check_store(path, near)
