"""The embedded data set: procedural motions, as a store or as raw files of other data sets."""
