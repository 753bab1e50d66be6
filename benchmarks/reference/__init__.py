"""A plain implementation of the published arithmetic: slow arm of all benchmarks, oracle of their parity checks.

Eager, NCHW, einsum, per-sample float64 NumPy, step by step as the methods define it. Nothing here is slower than a
faithful implementation would be: there is no loop where the published method has a product. Modules share the weights
of the package by name, so ``load_state_dict`` is the only link between the two.
"""
