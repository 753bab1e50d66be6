"""One file per family of benchmarks: what both arms run, on which shapes, and the check that they agree."""
