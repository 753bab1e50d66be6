"""Draw the samples of a store: the same as ``mmskelssl browse``."""
from mmskelssl.cli import script

main = script('browse', 'tools/analysis/browse_dataset.py')

if __name__ == '__main__':
    main()
