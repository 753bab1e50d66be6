"""Benchmarks of the package against a plain implementation of the same arithmetic, see docs/performance.md."""
