"""Fast paths. Each file holds one function, its plain statement, and the reason why it is worth its lines.

``benchmarks/ops.py`` measures each against its plain statement; ``tests/ops`` compares values and gradients.
"""
