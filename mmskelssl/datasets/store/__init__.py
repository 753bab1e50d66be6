"""Stores: folders of skeleton sequences, and functions to read, write, check and repair them."""
