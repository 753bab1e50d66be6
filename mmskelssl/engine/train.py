"""Runs the stages of a recipe."""
import errno
import logging
import os.path as osp
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch.utils.data._utils import signal_handling

from mmskelssl.datasets.pool_sampler import check_batches
from mmskelssl.engine.amp import choose_precision, train_in_bfloat16, warn_of_slow_bfloat16
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.compiling import compile_model
from mmskelssl.engine.config import complete, earlier_stages, load_config
from mmskelssl.engine.config_keys import check_run_keys, start_of
from mmskelssl.engine.distributed import LAUNCHERS, check_equal_shares, lost_process, prepare_distributed
from mmskelssl.engine.hooks import InitFromHook, RunInfoHook
from mmskelssl.engine.hooks.training import unwrap
from mmskelssl.engine.log_choices import log_choices
from mmskelssl.engine.options import check_options
from mmskelssl.engine.randomness import own_algorithms
from mmskelssl.engine.run_spec import RunSpec, refuse_changes
from mmskelssl.engine.runner import SkeletonRunner
from mmskelssl.engine.safe_io import install_safe_io
from mmskelssl.engine.stopping import start_worker, stop_on_signal
from mmskelssl.engine.thread_choice import choose_threads, using_threads
from mmskelssl.engine.work_dir import checkpoints, newest_sound, remove_half_written, sole_writer
from mmskelssl.errors import UserError
from mmskelssl.registry import MODELS, OPTIMIZERS, explain_unknown


def train(config: str, work_dir: str | None = None, resume: str | None = None, init_from: str | None = None,
          amp: bool | str = False, compile: bool | str = False, seed: int | None = None,
          cfg_options: dict | None = None, launcher: str = 'none', allow_change: bool = False,
          auto_scale_lr: bool = False, threads: int | str | None = None) -> str:
    """Train all stages of a config.

    Each stage of a recipe with several stages has its own folder ``work_dir/NAME``. A recipe with one stage uses
    ``work_dir`` itself.

    Args:
        work_dir: Default: the config's ``work_dir``, else ``work_dirs/CONFIG``.
        resume: ``auto`` skips finished stages and continues the interrupted one from its newest intact checkpoint. A
            path continues the last stage from that checkpoint. Default: ``resume`` and ``load_from`` of the config.
        init_from: Checkpoint that replaces the earlier stages. Default: the config's ``load_from``.
        amp: Train in bfloat16. ``auto`` does so if a measurement of two seconds favours it, and logs the reason.
        compile: As ``compile`` in the config, see :func:`~mmskelssl.engine.compiling.compile_model`.
        seed: Default: ``randomness.seed`` of each config, else 0.
        allow_change: Resume even if the config, data, batch size or number of processes have changed.
        auto_scale_lr: As ``auto_scale_lr = dict(enable=True)`` in the config: multiply the learning rate by the number
            of clips in a step over the batch size of the config.
        threads: Number of threads. ``auto`` chooses it by a measurement of two seconds, and logs the reason. Default:
            as torch has it.

    Returns:
        Path of the last checkpoint of the last stage.

    Raises:
        Stopped: If a signal requested a stop. The run is saved.
        UserError: If the config contains a mistake, or the run fails for a reason that the user can fix.
    """
    if amp not in (False, True, 'auto'):
        raise UserError(f"amp is {amp!r}; it must be True, False or 'auto'")
    if launcher not in LAUNCHERS:
        raise UserError(f'launcher is {launcher!r}; it must be one of {", ".join(LAUNCHERS)}')
    install_safe_io()
    scaled = dict(auto_scale_lr=dict(enable=True)) if auto_scale_lr else {}
    stages = load_config(config, {**check_options(cfg_options or {}), **scaled})
    check_run_keys(stages, launcher)
    last_cfg = stages[-1][1]
    work_dir = work_dir or last_cfg.get('work_dir') or osp.join('work_dirs', osp.splitext(osp.basename(config))[0])
    resume, init_from = start_of(last_cfg, resume, init_from)
    if init_from and resume not in (None, 'auto'):
        raise UserError(f'--resume {resume} continues a run, and --init-from {init_from} starts one: give one of them')
    if allow_change and not resume:
        raise UserError('--allow-change is for a run that is resumed: add --resume, or leave it out')
    carries = {stage['name']: stage.get('carry', ['backbone.', 'projector.'])
               for stage in earlier_stages(last_cfg)}
    staged = bool(carries)
    if init_from and not osp.isfile(init_from):
        raise UserError(f'--init-from (or load_from of the config) {init_from}: no such file')
    if init_from or (resume and resume != 'auto'):
        stages = stages[-1:]
    previous, carry = init_from, [*carries.values()][-1] if init_from and carries else ['backbone.']
    with sole_writer(work_dir, launcher), stop_on_signal():
        runs = []
        for name, cfg in stages:  # check all stages before the first is trained
            cfg.work_dir = osp.join(work_dir, name) if staged else work_dir
            cfg.launcher = launcher
            _continue(cfg, resume)
            with mistakes_in(cfg.filename):
                if amp is True:
                    train_in_bfloat16(cfg)
                if compile:
                    cfg.compile = _compiled(cfg.get('compile'), compile)
                cfg, spec = complete(cfg, seed)
                number, notes = choose_threads(cfg, threads)
                with using_threads(number):
                    spec, more = choose_precision(cfg, spec) if amp == 'auto' else (spec, [])
                    more += warn_of_slow_bfloat16(cfg)
            runs.append((name, osp.join(cfg.work_dir, f'epoch_{cfg.train_cfg.max_epochs}.pth'), cfg, spec, number,
                         [*notes, *more]))
        for name, last, cfg, spec, number, notes in runs:
            if resume == 'auto' and cfg.load_from == last:
                refuse_changes(last, load_checkpoint(last), spec, allow_change)
            else:
                start = dict(checkpoint=previous, carry=carry) if previous else None
                with using_threads(number):
                    run_stage(name, cfg, spec, start, allow_change, notes)
            previous, carry = last, carries.get(name, carry)
    return last


def _compiled(given, part: bool | str):
    """Return the key ``compile`` of a config with the part that ``--compile`` names."""
    if part is True:
        return given or True
    return {**given, 'part': part} if isinstance(given, Mapping) else part


def _continue(cfg: Config, resume: str | None) -> None:
    """Set the starting point of a stage, and refuse to overwrite an earlier run."""
    if not resume and (done := checkpoints(cfg.work_dir)):
        raise UserError(f'{cfg.work_dir} holds {osp.basename(done[-1])} of an earlier run: add --resume to continue '
                        'it, or choose another --work-dir')
    if resume and resume != 'auto' and not osp.isfile(resume):
        raise UserError(f'--resume {resume}: no such file')
    remove_half_written(cfg.work_dir, cfg.launcher)
    cfg.load_from, broken = newest_sound(cfg.work_dir) if resume == 'auto' else (resume, [])
    cfg.resume = cfg.load_from is not None
    for problem in broken:
        logging.getLogger('mmskelssl').warning(f'skipped {problem}; continuing from {cfg.load_from}')


def run_stage(name: str, cfg: Config, spec: RunSpec, start: dict | None, allow_change: bool = False,
              notes: Sequence[str] = ()) -> None:
    """Train one stage.

    Args:
        cfg, spec: As :func:`complete` returns them.
        start: Arguments of InitFromHook. None starts from scratch.
        allow_change: Resume even if the checkpoint belongs to a different run.
        notes: Lines for the log.
    """
    if 'type' not in cfg.train_cfg:  # counted in epochs, which is mmengine's default
        cfg.train_cfg = dict(type='ResumableTrainLoop', **{k: v for k, v in cfg.train_cfg.items() if k != 'by_epoch'})
    with own_algorithms(cfg.randomness.deterministic):
        with mistakes_in(cfg.filename):
            _check_start(cfg, start)
            prepare_distributed(cfg)
            cfg.experiment_name = f'{cfg.get("experiment_name") or name}_{time.time_ns()}'
            compile = cfg.pop('compile', False)  # mmengine would compile whole steps, including random Python code
            runner = SkeletonRunner.from_cfg(cfg)
            runner.register_hook(RunInfoHook(spec, allow_change, cfg.launcher))
            if start:
                runner.register_hook(InitFromHook(**start))
            _build_rest(runner)
            if compile:
                compile_model(runner.model, compile)
        runner.log_environment()
        log_choices(runner)
        for note in notes:
            runner.logger.info(note)
        try:
            runner.train()
        except (OSError, RuntimeError, UserError) as error:
            _expect_no_more_deaths()
            reason = _explain_crash(error)
            if not reason:
                raise
            raise UserError(f'{reason}; --resume continues from the last checkpoint') from error
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            if runner.started:
                raise
            raise UserError(f'{cfg.filename}: {_explain(error)}') from error


def _expect_no_more_deaths() -> None:
    """Leave the signal of an ended process to the system.

    For each data worker that has died, torch raises an error wherever the program is when the signal comes. One is
    enough: the next would replace the message of the first.
    """
    if signal_handling._SIGCHLD_handler_set and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal_handling._SIGCHLD_handler_set = False  # the next loader watches its workers again


def _build_rest(runner: Runner) -> None:
    """Build everything that the runner builds when training starts, in its order, so that mistakes show up earlier."""
    loader = runner.train_loop.dataloader
    if not len(loader):
        stores = [part.store for part in runner.cfg.data.get('stores') or [runner.cfg.data]]
        raise UserError(f'{", ".join(stores)}: {len(loader.dataset)} training clips do not make one batch of '
                        f'{loader.batch_size} in every process: lower train_dataloader.batch_size')
    wanted, clips = len(loader.dataset), len(getattr(loader.dataset, '_dataset', loader.dataset))
    if wanted > clips:  # of mmengine's slice of the data set
        raise UserError(f'train_dataloader.num_batch_per_epoch asks for {wanted} clips, but the split has {clips}: '
                        'lower it, or leave it out')
    check_equal_shares(loader)
    check_batches(loader)
    if get_device() == 'cuda' and hasattr(loader.dataset, 'defer'):
        loader.dataset.defer()
    loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
    optimizer = runner.optim_wrapper.get('optimizer', {}).get('type')
    if isinstance(optimizer, str) and OPTIMIZERS.get(optimizer) is None:  # mmengine would try to call it
        raise KeyError(f'{optimizer} is not in the {OPTIMIZERS.name} registry')
    _check_custom_keys(runner)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    runner.auto_scale_lr = None  # done
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)


def _check_custom_keys(runner: Runner) -> None:
    """Refuse options of parameters that the model does not have, which mmengine would ignore."""
    if runner.optim_wrapper.get('constructor'):
        return
    names = [f'.{name}' for name, _ in unwrap(runner.model).named_parameters()]  # mmengine looks for parts of them
    for key in (runner.optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}:
        if not any(key in name for name in names):
            raise UserError(f'optim_wrapper.paramwise_cfg.custom_keys: no parameter of {runner.cfg.model.type} with '
                            f'this encoder has {key!r} in its name: correct it, or leave all of them out with '
                            'optim_wrapper.paramwise_cfg=None')


@contextmanager
def mistakes_in(config: str) -> Iterator[None]:
    """Report errors that a config causes while it is read and built in one line that names the config."""
    try:
        yield
    except UserError:
        raise
    except (AssertionError, AttributeError, ImportError, IndexError, KeyError, NotImplementedError, RuntimeError,
            TypeError, ValueError) as error:
        raise UserError(f'{config}: {_explain(error)}') from error


def _check_start(cfg: Config, start: dict | None) -> None:
    """Refuse a model that lacks parts from an earlier stage."""
    needs = getattr(MODELS.get(cfg.model.type), 'needs', ())
    carry = (start or {}).get('carry', ())
    brought = carry.values() if isinstance(carry, Mapping) else carry
    missing = [part for part in needs if part not in brought]
    if missing and not cfg.resume:
        raise UserError(f'{cfg.filename}: {cfg.model.type} needs {", ".join(missing)} from an earlier stage: '
                        'name it in `stages`, with what it carries over, and give --init-from CKPT to replace it')


def _explain_crash(error: Exception) -> str | None:
    """Describe in one line an external cause that ended a run; None if the error is in the program itself."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return f'{error.filename or "a log"} cannot be written: {error.strerror}; make room'
    if isinstance(error, FileNotFoundError) and not osp.isdir(folder := osp.dirname(error.filename or '.')):
        return f'{folder} was removed while this run wrote to it'
    if isinstance(error, UserError) and 'Original Traceback' in text:  # torch wraps errors of workers
        return text.strip().splitlines()[-1].partition('UserError: ')[2]
    if 'does not have a deterministic implementation' in text:
        return f'randomness.deterministic = True: {text.split(",")[0].strip()}; train without it'
    if type(error).__name__ == 'InductorError':
        return f'--compile: {text.strip().splitlines()[0]}; remove --compile to train without compilation'
    lost = 'onnection closed by peer' in text or 'onnection reset by peer' in text
    if text.startswith('DataLoader worker') or (lost and get_world_size() == 1):  # either may come first
        text = 'a data worker has died' if lost else ' '.join(text.split()).rstrip('.')
        return f'{text}. It may have run out of memory: reduce train_dataloader.num_workers'
    return lost_process(error)


def _explain(error: Exception) -> str:
    """Return mmengine's error for a config that it cannot build, in one line."""
    text = ' '.join(str(error.args[0] if error.args else error).split())
    return explain_unknown(error) or f'{text or type(error).__name__} (MMSKELSSL_DEBUG=1 shows where)'
