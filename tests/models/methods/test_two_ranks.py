"""Every method in two gloo processes: both share one model and one queue with the keys of both."""
import os
import subprocess
from pathlib import Path

import pytest
import torch
from contract_methods import FROZEN, METHODS, QUEUED, ROOT

pytestmark = pytest.mark.slow
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')  # each rank has the statistics of its own batches


@pytest.fixture(scope='module')
def ranks(tmp_path_factory, warm_python):
    """Return the results of the two processes by method."""
    folder = tmp_path_factory.mktemp('ranks')
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(ROOT)}
    command = [warm_python / 'python', str(Path(__file__).with_name('two_ranks.py'))]
    processes = [subprocess.Popen([*command, str(rank), str(folder)], env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True) for rank in (0, 1)]
    try:
        for process in processes:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f'rank{rank}.pt', weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize('method', METHODS)
def test_the_model_is_one(ranks, method):
    first, second = (rank[method] for rank in ranks)
    for key, value in first['state'].items():
        assert key.endswith(STATISTICS) or torch.equal(value, second['state'][key]), key
    assert all(torch.equal(value, second['before'][name]) for name, value in first['before'].items())
    moved = {name for name, value in first['before'].items() if not torch.equal(value, first['state'][name])}
    assert any(name.startswith('backbone.') for name in moved)
    assert any(name.startswith('teacher.') for name in moved) == (method == 'SLiM')  # CRRL's teacher is never trained
    if method in QUEUED:  # the key encoder follows from the second step on
        assert any(name.startswith(FROZEN) for name in moved)


@pytest.mark.parametrize('method', QUEUED)
def test_the_queue_holds_the_keys_of_both(ranks, method):
    first, second = (rank[method]['entered'] for rank in ranks)
    expected = torch.cat([first[0], second[0], first[1], second[1]])
    assert not torch.equal(first[0], second[0])
    for rank in ranks:
        state = rank[method]['state']
        torch.testing.assert_close(state['queue.keys'][:12], expected, rtol=0, atol=0)
        assert int(state['queue.pointer']) == 12
