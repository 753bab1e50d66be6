"""Processes that torchrun restarts agree on keys of their own in the store that it keeps."""
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from mmengine.config import Config
from torch.distributed import HashStore

from mmskelssl.engine.distributed import agree_on_attempt, prepare_distributed
from mmskelssl.errors import UserError


def attempt(store, order, world=3) -> set[str]:
    """Start the ranks in this order. Returns the names that they agreed on."""
    with ThreadPoolExecutor(world) as pool:
        names = [pool.submit(agree_on_attempt, store, rank, world, 20) for rank in order]
        return {name.result() for name in names}


def test_every_attempt_has_a_name_of_its_own():
    store = HashStore()
    names = [attempt(store, order) for order in ((0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 0, 2))]
    assert all(len(name) == 1 for name in names) and len(set.union(*names)) == 4


def test_keys_of_a_process_that_died_early_are_no_answer():
    store = HashStore()
    store.set_timeout(timedelta(seconds=20))
    store.set('attempt/1', 'showed a number and died')
    store.set('attempt/2', 'died after it was answered')
    store.set('attempt/died after it was answered', 'of an earlier rank 0')
    store.set('attempt/died after it was answered/of an earlier rank 0', 'confirmed')
    assert len(attempt(store, (0, 1, 2))) == 1


def test_a_process_that_never_starts_is_named():
    with pytest.raises(UserError, match=r'processes 1, 2 of this run have not started within 0\.1 seconds'):
        agree_on_attempt(HashStore(), 0, 3, .1)


@pytest.mark.parametrize('gpu, backend', [(True, 'nccl'), (False, 'gloo')])
def test_a_group_starts_as_in_mmengine(monkeypatch, gpu, backend):
    for name, value in dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT='0').items():
        monkeypatch.setenv(name, value)
    started, devices = {}, []
    monkeypatch.setattr('torch.cuda.is_available', lambda: gpu)
    monkeypatch.setattr('torch.cuda.set_device', devices.append)
    monkeypatch.setattr('torch.distributed.init_process_group', lambda backend, **options: started.update(
        options, backend=backend))
    cfg = Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=9))))
    prepare_distributed(cfg)
    assert started.pop('store') is not None
    assert started == dict(backend=backend, rank=0, world_size=1, timeout=timedelta(seconds=9))
    assert devices == [0] * gpu
