"""Run the stages of a recipe."""
import errno
import logging
import os.path as osp
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch import nn

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.config_keys import check_run_keys, other_names, start_of
from mmskelssl.engine.distributed import check_equal_shares, lost_process, prepare_distributed
from mmskelssl.engine.hooks import InitFromHook, RunInfoHook
from mmskelssl.engine.randomness import own_algorithms
from mmskelssl.engine.run_spec import RunSpec, refuse_changes
from mmskelssl.engine.runner import SkeletonRunner
from mmskelssl.engine.safe_io import install_safe_io
from mmskelssl.engine.stopping import start_worker, stop_on_signal
from mmskelssl.engine.streams import stream_of, stream_values
from mmskelssl.engine.work_dir import checkpoints, newest_sound, remove_half_written, sole_writer
from mmskelssl.errors import UserError
from mmskelssl.registry import MODELS, OPTIMIZERS, explain_unknown


def train(config: str, work_dir: str | None = None, resume: str | None = None, init_from: str | None = None,
          amp: bool = False, compile: bool = False, seed: int | None = None, cfg_options: dict | None = None,
          launcher: str = 'none', allow_change: bool = False) -> str:
    """Train all stages of a config.

    Each stage of a staged recipe has its own folder ``work_dir/NAME``; a recipe of one stage uses ``work_dir`` itself.

    Args:
        work_dir: Default the config's ``work_dir``, else ``work_dirs/CONFIG``.
        resume: ``auto``: skip finished stages and continue the interrupted one from its newest sound checkpoint. A
            path: continue the last stage from that checkpoint. Default what ``resume`` and ``load_from`` of the config
            say.
        init_from: Checkpoint that replaces the earlier stages. Default the config's ``load_from``.
        compile: As ``compile = True`` in the config: see :func:`compile_encoders`.
        seed: Default ``randomness.seed`` of each config, else 0.
        allow_change: Resume although config, data, batch size or number of processes changed.

    Returns:
        The last stage's last checkpoint.

    Raises:
        Stopped: A signal asked to stop, and the run is saved.
    """
    install_safe_io()
    stages = load_config(config, cfg_options)
    check_run_keys(stages, launcher)
    last_cfg = stages[-1][1]
    work_dir = work_dir or last_cfg.get('work_dir') or osp.join('work_dirs', osp.splitext(osp.basename(config))[0])
    resume, init_from = start_of(last_cfg, resume, init_from)
    carries = {stage['name']: stage.get('carry', ['backbone.', 'projector.'])
               for stage in last_cfg.get('stages') or []}
    staged = bool(carries)
    if init_from and not osp.isfile(init_from):
        raise UserError(f'--init-from (or load_from of the config) {init_from}: no such file')
    if init_from or (resume and resume != 'auto'):
        stages = stages[-1:]
    previous, carry = init_from, [*carries.values()][-1] if init_from and carries else ['backbone.']
    with sole_writer(work_dir, launcher), stop_on_signal():
        runs = []
        for name, cfg in stages:  # all of them, so that a mistake in the last one shows before the first is trained
            cfg.work_dir = osp.join(work_dir, name) if staged else work_dir
            cfg.launcher = launcher
            _continue(cfg, resume)
            with mistakes_in(cfg.filename):
                if amp:
                    _train_in_bfloat16(cfg)
                if compile:
                    cfg.compile = cfg.get('compile') or True
                cfg, spec = complete(cfg, seed)
            runs.append((name, osp.join(cfg.work_dir, f'epoch_{cfg.train_cfg.max_epochs}.pth'), cfg, spec))
        for name, last, cfg, spec in runs:
            if resume == 'auto' and cfg.load_from == last:
                refuse_changes(last, load_checkpoint(last), spec, allow_change)
            else:
                run_stage(name, cfg, spec, dict(checkpoint=previous, carry=carry) if previous else None, allow_change)
            previous, carry = last, carries.get(name, carry)
    return last


def _train_in_bfloat16(cfg: Config) -> None:
    """``--amp``; a wrapper of another type in the config is not replaced."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'BF16OptimWrapper'):
        raise UserError(f'{cfg.filename}: --amp would replace optim_wrapper.type = {kind!r}: leave out one of the two')
    cfg.optim_wrapper.type = 'BF16OptimWrapper'


def _continue(cfg: Config, resume: str | None) -> None:
    """Set where a stage starts, and refuse to write over an earlier run."""
    if not resume and (done := checkpoints(cfg.work_dir)):
        raise UserError(f'{cfg.work_dir} holds {osp.basename(done[-1])} of an earlier run: add --resume to continue '
                        'it, or choose another --work-dir')
    if resume and resume != 'auto' and not osp.isfile(resume):
        raise UserError(f'--resume {resume}: no such file')
    remove_half_written(cfg.work_dir, cfg.launcher)
    cfg.load_from, broken = newest_sound(cfg.work_dir) if resume == 'auto' else (resume, [])
    cfg.resume = cfg.load_from is not None
    for problem in broken:
        logging.getLogger('mmskelssl').warning(f'passed over {problem}; going on from {cfg.load_from}')


def run_stage(name: str, cfg: Config, spec: RunSpec, start: dict | None, allow_change: bool = False) -> None:
    """Train one stage.

    Args:
        cfg, spec: As :func:`complete` returns them.
        start: Arguments of InitFromHook; None starts from scratch.
        allow_change: Resume although the checkpoint's run was another one.
    """
    if 'type' not in cfg.train_cfg:  # and by epoch, as mmengine has it by default
        cfg.train_cfg = dict(type='ResumableTrainLoop', **{k: v for k, v in cfg.train_cfg.items() if k != 'by_epoch'})
    with own_algorithms(cfg.randomness.deterministic):
        with mistakes_in(cfg.filename):
            _check_start(cfg, start)
            prepare_distributed(cfg)
            cfg.experiment_name = f'{cfg.get("experiment_name") or name}_{time.time_ns()}'
            compile = cfg.pop('compile', False)  # mmengine would compile whole steps, whose random plans are Python
            runner = SkeletonRunner.from_cfg(cfg)
            runner.register_hook(RunInfoHook(spec, allow_change))
            if start:
                runner.register_hook(InitFromHook(**start))
            _build_rest(runner)
            if compile:
                compile_encoders(runner.model, **(compile if isinstance(compile, Mapping) else {}))
        runner.log_environment()
        _log_choices(runner)
        try:
            runner.train()
        except (OSError, RuntimeError, UserError) as error:
            reason = _explain_crash(error)
            if not reason:
                raise
            raise UserError(f'{reason}; --resume goes on from the last checkpoint') from error


def _log_choices(runner: Runner) -> None:
    """Log what the config's text does not show at first sight."""
    for key, value in stream_values(runner.cfg).items():
        runner.logger.info(f'by_stream.{stream_of(runner.cfg)}: {key} = {value!r}')
    others = other_names(runner.cfg)
    if others:
        runner.logger.warning(f'{runner.cfg.filename}: nothing reads {", ".join(others)}')


def compile_encoders(model: nn.Module, **options) -> None:
    """``torch.compile`` with these options on the backbone and every copy of it (key encoder, teacher).

    The state keeps its names, so that checkpoints are those of any run. The first steps take a minute or more.
    """
    encoder: type = type(getattr(model, 'module', model).backbone)
    for module in model.modules():
        if type(module) is encoder:
            module.compile(**options)


def _build_rest(runner: Runner) -> None:
    """Build what the runner would build when it starts to train, in its order: a mistake in it should show before."""
    loader = runner.train_loop.dataloader
    if not len(loader):
        raise UserError(f'{runner.cfg.data.store}: {len(loader.dataset)} training clips do not make one batch of '
                        f'{loader.batch_size} in every process: lower train_dataloader.batch_size')
    check_equal_shares(loader)
    loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
    optimizer = runner.optim_wrapper.get('optimizer', {}).get('type')
    if isinstance(optimizer, str) and OPTIMIZERS.get(optimizer) is None:  # which mmengine would try to call
        raise KeyError(f'{optimizer} is not in the {OPTIMIZERS.name} registry')
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    runner.auto_scale_lr = None  # done
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)


@contextmanager
def mistakes_in(config: str) -> Iterator[None]:
    """What a config leads to while it is read and built is shown as one line that names it."""
    try:
        yield
    except UserError:
        raise
    except (AssertionError, AttributeError, ImportError, IndexError, KeyError, NotImplementedError, RuntimeError,
            TypeError, ValueError) as error:
        raise UserError(f'{config}: {_explain(error)}') from error


def _check_start(cfg: Config, start: dict | None) -> None:
    """Refuse a model that lacks what an earlier stage has to bring."""
    needs = getattr(MODELS.get(cfg.model.type), 'needs', ())
    carry = (start or {}).get('carry', ())
    brought = carry.values() if isinstance(carry, Mapping) else carry
    missing = [part for part in needs if part not in brought]
    if missing and not cfg.resume:
        raise UserError(f'{cfg.filename}: {cfg.model.type} needs {", ".join(missing)} from an earlier stage: '
                        'name it in `stages`, with what it carries over, and give --init-from CKPT to replace it')


def _explain_crash(error: Exception) -> str | None:
    """What ended a run from outside, in one line; None for what this one has to answer for."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return f'{error.filename or "a log"} cannot be written: {error.strerror}; make room'
    if isinstance(error, FileNotFoundError) and not osp.isdir(folder := osp.dirname(error.filename or '.')):
        return f'{folder} was removed while this run wrote to it'
    if isinstance(error, UserError) and 'Original Traceback' in text:  # torch wraps what a worker raises
        return text.strip().splitlines()[-1].partition('UserError: ')[2]
    if 'does not have a deterministic implementation' in text:
        return f'randomness.deterministic = True: {text.split(",")[0].strip()}; train without it'
    if type(error).__name__ == 'InductorError':
        return f'--compile: {text.strip().splitlines()[0]}; without it nothing is translated'
    lost = 'onnection closed by peer' in text or 'onnection reset by peer' in text
    if text.startswith('DataLoader worker') or (lost and get_world_size() == 1):  # which of the two, is a race
        text = 'a data worker has died' if lost else ' '.join(text.split()).rstrip('.')
        return f'{text}. Out of memory, perhaps: fewer train_dataloader.num_workers need less'
    return lost_process(error)


def _explain(error: Exception) -> str:
    """What mmengine says of a config that it cannot build, in one line."""
    text = ' '.join(str(error.args[0] if error.args else error).split())
    return explain_unknown(error) or f'{text or type(error).__name__} (MMSKELSSL_DEBUG=1 shows where)'
