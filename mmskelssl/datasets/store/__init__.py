"""Stores: reading, writing, checking and repairing folders of skeleton sequences."""
