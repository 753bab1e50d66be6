"""Optimised operations. Each file contains one function, a plain implementation of it, and the reason for the speedup.

``benchmarks/ops.py`` measures each function against its plain implementation. ``tests/ops`` compares values and
gradients.
"""
