"""A long run that is disturbed at random moments ends like the undisturbed one and leaks neither memory nor files.

Five epochs of four iterations by default; ``MMSKELSSL_SOAK=1000`` for as many epochs.
"""
import os
import random
import signal
import time
from pathlib import Path

import pytest
from runs import Run, assert_same

pytestmark = pytest.mark.slow
EPOCHS = int(os.environ.get('MMSKELSSL_SOAK', 5))
OPTIONS = {'train_cfg.max_epochs': EPOCHS, 'default_hooks.checkpoint.max_keep_ckpts': 2,
           'train_dataloader.num_workers': 1}


def footprint(pid: int) -> tuple[int, int]:
    """Return the resident bytes and the number of open files of a process."""
    status = Path(f'/proc/{pid}/status').read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith('VmRSS:')).split()[1])
    return 1024 * resident, len(os.listdir(f'/proc/{pid}/fd'))


def trains(run: Run) -> bool:
    return 'Checkpoints will be saved' in run.output


def test_soak(tiny_store, tmp_path):
    straight, samples, start = Run(tiny_store, tmp_path / 'straight', options=OPTIONS), [], None
    while straight.process.is_alive():
        straight.process.join(.1)
        if start is None and trains(straight):
            start = time.monotonic()
        try:
            if (tmp_path / 'straight' / 'epoch_2.pth').exists() or samples:  # everything is set up
                samples.append(footprint(straight.process.pid))
        except (OSError, StopIteration):
            break  # it has just ended
    assert straight.end() == 0, straight.output[-3000:]
    longest = min(15., .5 * (time.monotonic() - start))  # seconds of training until a disturbance
    resident, files = zip(*samples, strict=True)
    third = max(1, len(samples) // 3)
    assert max(resident[-third:]) < 1.05 * max(resident[:third]) + (8 << 20), [r >> 20 for r in resident]
    # A checkpoint that is being written has files of its own; those of a leak stay.
    assert min(files[-third:]) <= max(files[:third]) + 2, files

    rng, disturbed = random.Random(0), 0
    while True:
        run = Run(tiny_store, tmp_path / 'w', *(['--resume'] if disturbed else []), options=OPTIONS)
        for _ in range(100):  # until it trains
            run.process.join(.1)
            if trains(run) or not run.process.is_alive():
                break
        run.process.join(rng.uniform(0, longest))
        if not run.process.is_alive():
            break
        which = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
        os.kill(run.process.pid, which)
        expected = {signal.SIGKILL: -9, signal.SIGINT: 130}.get(which, 0)
        assert run.end() in (expected, 0), run.output[-3000:]
        disturbed += 1
    assert run.end() == 0, run.output[-3000:]
    assert disturbed
    assert_same(tmp_path / 'straight' / f'epoch_{EPOCHS}.pth', tmp_path / 'w' / f'epoch_{EPOCHS}.pth')
