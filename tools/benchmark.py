"""Pre-train and measure a config over splits, streams and seeds: the same as ``mmskelssl benchmark``."""
from mmskelssl.cli import script

main = script('benchmark', 'tools/benchmark.py')

if __name__ == '__main__':
    main()
