"""Limit how long the threads of a parallel loop wait for each other by spinning."""
import os

# Iterations of the waiting loop before a thread goes to sleep. GNU's OpenMP, which PyTorch uses on Linux, uses 300,000.
# If another process keeps a core busy, the threads of every loop wait that long for the one without a core, and a step
# can take many times as long (docs/performance.md). With 1,000 it loses least where cores are busy, and next to nothing
# on a quiet machine.
SPINS = 1_000
_USERS_OWN = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')


def limit_spinning(spins: int = SPINS) -> None:
    """Let waiting threads sleep after ``spins`` turns, in this process and its child processes.

    Call this function before torch is imported, because OpenMP reads the environment when it is loaded. Results do not
    change, because the number of threads stays the same. Settings of the user in the environment are kept.
    """
    if not any(name in os.environ for name in _USERS_OWN):
        os.environ['GOMP_SPINCOUNT'] = str(spins)
