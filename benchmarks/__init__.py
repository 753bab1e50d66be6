"""How fast the product is, measured against a plain statement of the same arithmetic: see docs/performance.md."""
