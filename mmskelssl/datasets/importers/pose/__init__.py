"""Readers of pose estimators' files, one module per family. Each converts a file to persons (P, V, C) per frame."""
