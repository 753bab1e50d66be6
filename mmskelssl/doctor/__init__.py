"""The checks of ``mmskelssl doctor``: of this machine, of a run, and of a store."""
