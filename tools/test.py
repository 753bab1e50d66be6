"""Measure a checkpoint with the model and the data of a config: the same as ``mmskelssl test``."""
from mmskelssl.cli import script

main = script('test', 'tools/test.py')

if __name__ == '__main__':
    main()
