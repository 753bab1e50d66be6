"""Files of pose estimators, a module a family: each reads a file into persons (P, V, C) a frame."""
