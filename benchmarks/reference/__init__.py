"""The published arithmetic written plainly: the slow arm of every benchmark, and the oracle of its parity check.

Eager, NCHW, einsum, per-sample float64 NumPy, one thing after the other as the methods define it. Nothing here is made
slower than a faithful implementation would be: no loop stands where the published method has a product, and modules
share the product's weights by name, so that ``load_state_dict`` is all that ties the two.
"""
