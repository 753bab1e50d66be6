"""Distributed training: process groups without a GPU, equal shares of the same data, and reports of lost processes."""
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from io import StringIO

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from torch.utils.data import DataLoader

from mmskelssl.errors import UserError

# Seconds that a process waits for the others, unless env_cfg.dist_cfg.timeout is set.
TIMEOUT = 600
_RANKS = dict(pytorch=('RANK', 'LOCAL_RANK'), slurm=('SLURM_PROCID', 'SLURM_LOCALID'),
              mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'))
LAUNCHERS = ('none', *_RANKS)


def is_first_process(launcher: str = 'none', on_its_machine: bool = False) -> bool:
    """Return whether this is the rank that writes. Works before a process group exists.

    Args:
        launcher: Launcher of this run. Without a launcher there is one process, regardless of the environment: a shell
            inside a Slurm job also has a rank.
        on_its_machine: Return whether this is the first process on its machine, which checks the data there.
    """
    if launcher == 'none':
        return not distributed.is_initialized() or distributed.get_rank() == 0
    return int(os.environ.get(_RANKS[launcher][on_its_machine], 0)) == 0


def process_count(launcher: str) -> int:
    """Return the number of processes of the run. Works before a process group exists."""
    variable = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS').get(launcher, '')
    return int(os.environ.get(variable, 1))


def prepare_distributed(cfg: Config) -> None:
    """Make launchers work on CPUs: start gloo, and wrap the model without device ids.

    mmengine would call ``torch.cuda.set_device``, and skips this because the process group already exists. With
    ``sync_bn='torch'``, batch norm uses the statistics of all processes: torch's implementation on GPUs, ours on CPUs.
    No process waits longer than ``env_cfg.dist_cfg.timeout`` seconds (:data:`TIMEOUT`) for another one.

    Raises:
        UserError: If the timeout is not a positive number.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    dist_cfg = cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', dict(backend='nccl'))
    timeout = dist_cfg.setdefault('timeout', TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise UserError(f'env_cfg.dist_cfg.timeout is {timeout!r}; it must be a number of seconds')
    wrapper = {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False,
               'find_unused_parameters': cfg.get('find_unused_parameters', False),
               **(cfg.get('model_wrapper_cfg') or {})}
    if cfg.launcher in ('pytorch', 'slurm') and not distributed.is_initialized():
        _start_group(cfg.launcher, dist_cfg)
    if not torch.cuda.is_available():
        wrapper['device_ids'] = None
        if cfg.pop('sync_bn', None):
            wrapper['type'] = 'mmskelssl.SyncBNDataParallel'  # mmengine searches only its root registry
    cfg.model_wrapper_cfg = wrapper


@contextmanager
def launched(launcher: str) -> Iterator[None]:
    """Run the block in the process group of a launcher, for commands without a config. Only the first process prints.

    A process may be alone with a long piece of work, so the others wait for it for days.
    """
    if launcher == 'none' or distributed.is_initialized():
        yield
        return
    _start_group(launcher, dict(timeout=7 * 24 * 3600))
    try:
        with redirect_stdout(sys.stdout if get_rank() == 0 else StringIO()):
            yield
    finally:
        distributed.destroy_process_group()


def _slurm_environment() -> None:
    """Set the variables of torchrun from those of Slurm. Values of the user for the address and the port are kept.

    Several steps (``srun``) may share one job. Each has its own tasks, may use only some nodes of the job, and needs
    its own port.
    """
    environ = os.environ
    missing = [name for name in ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID') if name not in environ]
    if missing:
        raise UserError(f'--launcher slurm without {", ".join(missing)}, which srun sets: use tools/slurm_train.sh')
    environ.update(RANK=environ['SLURM_PROCID'], WORLD_SIZE=environ['SLURM_NTASKS'],
                   LOCAL_RANK=environ['SLURM_LOCALID'])
    if 'MASTER_PORT' not in environ:  # differs between the jobs of a node and, by a prime, between the steps of a job
        number = int(environ.get('SLURM_JOB_ID', 0)) + 997 * int(environ.get('SLURM_STEP_ID', 0))
        environ['MASTER_PORT'] = str(20000 + number % 20000)
    if 'MASTER_ADDR' not in environ:
        names = ('SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_NODELIST')
        nodes = next((environ[name] for name in names if environ.get(name)), '')
        try:
            hosts = subprocess.run(['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True)
            environ['MASTER_ADDR'] = hosts.stdout.split()[0]
        except (OSError, IndexError, subprocess.CalledProcessError) as error:
            raise UserError(f'scontrol does not name the nodes of this step ({error}): set MASTER_ADDR to the name '
                            'of the first one') from error


def _start_group(launcher: str, dist_cfg: dict) -> None:
    """Start the process group that the environment of torchrun or Slurm describes.

    torchrun keeps its key-value store when it restarts the processes (``--max-restarts``). A restarted process would
    find the addresses of its dead predecessors there, and wait for them. Therefore each attempt uses its own keys.
    """
    options = {key: value for key, value in dist_cfg.items() if key not in ('backend', 'init_backend')}
    options['timeout'] = timedelta(seconds=dist_cfg['timeout'])
    on_gpu = torch.cuda.is_available()
    if on_gpu and dist_cfg.get('init_backend', 'torch') != 'torch':
        return  # mmengine starts the groups of other libraries
    if launcher == 'slurm':
        _slurm_environment()
    if on_gpu:  # a task of Slurm may see only its own GPU
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']) % max(torch.cuda.device_count(), 1))
    store, rank, world = next(rendezvous('env://', timeout=options['timeout']))
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        store = distributed.PrefixStore(agree_on_attempt(store, rank, world, dist_cfg['timeout']), store)
    distributed.init_process_group(dist_cfg.get('backend', 'nccl') if on_gpu else 'gloo', store=store, rank=rank,
                                   world_size=world, **options)


def agree_on_attempt(store: distributed.Store, rank: int, world: int, timeout: float) -> str:
    """Return a random name that only the processes started together get. The store may contain keys of earlier ones.

    torchrun's restart count is not such a name, because the machines of one run count differently. Each rank shows a
    random number, which rank 0 answers. An earlier process may have left a number, but does not confirm the answer.

    Raises:
        UserError: If a process is missing for ``timeout`` seconds.
    """
    mine, end = secrets.token_hex(8), time.monotonic() + timeout
    if rank:
        store.set(f'attempt/{rank}', mine)
        name = store.get(f'attempt/{mine}').decode()
        store.set(f'attempt/{mine}/{name}', 'confirmed')
        return name
    missing = set(range(1, world))
    while missing:
        for other in sorted(missing):
            if store.check([f'attempt/{other}']):
                number = store.get(f'attempt/{other}').decode()
                store.set(f'attempt/{number}', mine)
                if store.check([f'attempt/{number}/{mine}']):
                    missing.remove(other)
        if time.monotonic() > end:
            raise UserError(f'processes {", ".join(map(str, sorted(missing)))} of this run have not started within '
                            f'{timeout:g} seconds')
        time.sleep(.02)
    return mine


def check_same_data(dataset) -> None:
    """Refuse data that differ between ranks. All ranks end with the same message.

    Args:
        dataset: Data set of this rank. Its ``metainfo['data_hash']`` and its length are compared.

    Raises:
        UserError: If two ranks have different data.
    """
    if get_world_size() == 1:
        return
    about = getattr(dataset, 'metainfo', {})
    mine = about.get('data_hash'), len(dataset)
    everyones = all_gather_object(mine)
    if len(set(everyones)) > 1:
        other = next(rank for rank, one in enumerate(everyones) if one != everyones[0])
        raise UserError(f'the processes of this run have different data: process 0 has {everyones[0][1]} clips of a '
                        f'store with data hash {everyones[0][0]}, process {other} has {everyones[other][1]} with '
                        f'{everyones[other][0]}: copy one store to all machines')


def lost_process(error: Exception) -> str | None:
    """Describe in one line which process an error of a collective operation refers to; None for any other error."""
    text = str(error)
    closed = re.search(r'onnection (closed by peer|reset by peer)|roken pipe', text)
    late = re.search(r'[Tt]imed out|[Tt]imeout', text)
    if get_world_size() == 1 or not (closed or late):
        return None
    silent = ', '.join(map(str, _silent())) or 'unknown'
    if closed:
        return f'another process of this run has died (rank {silent}); its own output says why'
    return (f'another process of this run does not answer (rank {silent}): it is stopped, hangs, or its machine is '
            'gone; if it is only slow, raise env_cfg.dist_cfg.timeout (seconds)')


def _silent(seconds: float = 5) -> list[int]:
    """Return the ranks that do not answer a roll call through the store that the group was started with.

    Without torchrun, rank 0 hosts the store. If the store does not even return this rank's own answer, rank 0 is
    reported. The call runs in a thread because torch may wait forever for a stopped host.
    """
    mine, world, answered, asked = get_rank(), get_world_size(), set(), threading.Event()
    store = distributed.distributed_c10d._get_default_store()

    def call():
        try:
            store.set(f'roll_call/{mine}', 'here')
            for rank in (mine, *(rank for rank in range(world) if rank != mine)):
                try:
                    store.wait([f'roll_call/{rank}'], timedelta(seconds=seconds))
                    answered.add(rank)
                except RuntimeError:
                    if rank == mine:
                        break
        finally:
            asked.set()

    threading.Thread(target=call, daemon=True).start()
    asked.wait(seconds * (world + 1))
    return [rank for rank in range(world) if rank not in answered] if mine in answered else [0]


def check_equal_shares(loader: DataLoader) -> None:
    """Refuse different data, and samplers that give ranks different numbers of clips.

    Gradients and queue entries are combined across ranks at every step.

    Raises:
        UserError: If the data or the numbers of clips differ.
    """
    check_same_data(loader.dataset)
    if get_world_size() > 1 and getattr(loader.sampler, 'round_up', True) is False:
        raise UserError(f'train_dataloader.sampler: with round_up=False the {get_world_size()} processes would get '
                        'different numbers of clips, and wait for each other forever: keep it True')
