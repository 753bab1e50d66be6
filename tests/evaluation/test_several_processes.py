"""Work that is dealt to several processes, simulated by threads of one that exchange their results."""
import threading
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from mmskelssl.errors import UserError
from mmskelssl.evaluation import processes
from mmskelssl.evaluation.processes import deal, first_buffers, together


class Group:
    """A process group of threads."""

    def __init__(self, world: int):
        self.world, self.local = world, threading.local()
        self.barrier, self.parts = threading.Barrier(world, timeout=20), [None] * world

    def all_gather_object(self, mine):
        self.barrier.wait()
        self.parts[self.local.rank] = mine
        self.barrier.wait()
        return list(self.parts)

    def run(self, work) -> list:
        """Return the results, or errors, of ``work(rank)`` in all threads."""
        results = [None] * self.world

        def target(rank):
            self.local.rank = rank
            try:
                results[rank] = work(rank)
            except UserError as error:
                results[rank] = error
        threads = [threading.Thread(target=target, args=(rank,)) for rank in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return results


@pytest.fixture
def group(monkeypatch):
    made = Group(3)
    monkeypatch.setattr(processes, 'get_world_size', lambda: made.world)
    monkeypatch.setattr(processes, 'get_rank', lambda: made.local.rank)
    monkeypatch.setattr(processes, 'all_gather_object', made.all_gather_object)
    monkeypatch.setattr(processes, '_sharing', True)  # of all threads

    @contextmanager
    def keep(value):  # the flag belongs to the process
        yield
    monkeypatch.setattr(processes, '_set_sharing', keep)
    return made


@pytest.mark.parametrize('count', [0, 1, 3, 7, 100])
def test_every_item_is_worked_on_once_and_all_get_the_results_in_order(group, count):
    done = []
    found = group.run(lambda rank: [*deal(lambda item: done.append((rank, item)) or 10 * item, range(count))])
    assert found == 3 * [[10 * item for item in range(count)]]
    assert sorted(item for _, item in done) == [*range(count)]
    assert {rank for rank, _ in done} == {*range(min(count, 3))}


def test_a_mistake_in_one_process_is_raised_in_all(group):
    def work(item):
        if item == 1:
            raise UserError('clip 1 is broken')
        return item
    found = group.run(lambda rank: [*deal(work, range(5))])
    assert [str(error) for error in found] == 3 * ['clip 1 is broken']


def test_without_an_agreement_every_process_works_for_itself(monkeypatch):
    monkeypatch.setattr(processes, 'get_world_size', lambda: 3)
    assert [*deal(abs, [-1, -2])] == [1, 2]
    monkeypatch.setattr(processes, 'get_rank', lambda: 0)
    seen = []
    monkeypatch.setattr(processes, 'all_gather_object', lambda mine: seen.append(mine) or [mine] * 3)
    with together():
        # Work within work is not dealt again: the other processes are busy with their own.
        assert [*deal(lambda item: [*deal(abs, [-item, item])], [1])] == [[1, 1]]
    assert seen == [([[1, 1]], None)] and [*deal(abs, [-3])] == [3]


def test_buffers_of_the_first_process(monkeypatch):
    norm = nn.BatchNorm1d(2)
    norm.running_mean.fill_(5.)
    monkeypatch.setattr(processes, 'get_world_size', lambda: 2)
    monkeypatch.setattr(processes, 'broadcast', lambda buffer: buffer.zero_())
    with first_buffers(norm):
        assert not norm.running_mean.any()
    assert torch.equal(norm.running_mean, torch.full((2,), 5.))
