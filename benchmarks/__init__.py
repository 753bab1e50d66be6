"""Speed of the package, compared with a plain implementation of the same arithmetic: see docs/performance.md."""
