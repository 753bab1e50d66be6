"""One file per family of benchmarks: the code and shapes of both arms, and the check that they agree."""
