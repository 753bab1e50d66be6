"""The built-in data set: procedural motions, written as a store or as raw files of other data sets."""
