"""Pre-train an encoder: the same as ``mmskelssl train``."""
from mmskelssl.cli import script

main = script('train', 'tools/train.py')

if __name__ == '__main__':
    main()
