"""How the threads of a parallel loop wait for each other."""
import os

# Turns of the waiting loop before a thread goes to sleep. GNU's OpenMP, which PyTorch uses on Linux, takes 300,000:
# where another process keeps a core busy, the threads of every loop wait that long for the one that has no core, and a
# step takes tens of times as long (docs/performance.md).
SPINS = 10_000
_USERS_OWN = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')


def limit_spinning() -> None:
    """Let waiting threads sleep early, in this process and those that it starts.

    Call it before torch is imported, as OpenMP reads the environment when it is loaded. It changes no result: the
    number of threads stays. What the user has set in the environment stays too.
    """
    if not any(name in os.environ for name in _USERS_OWN):
        os.environ['GOMP_SPINCOUNT'] = str(SPINS)
