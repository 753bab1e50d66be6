"""Convert an official checkpoint: the same as ``mmskelssl convert``."""
from mmskelssl.cli import script

main = script('convert', 'tools/analysis/convert_checkpoint.py')

if __name__ == '__main__':
    main()
