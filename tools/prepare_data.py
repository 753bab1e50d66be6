"""Convert a data set to a store, and maintain stores: the same as ``mmskelssl prepare``."""
from mmskelssl.cli import script

main = script('prepare', 'tools/prepare_data.py')

if __name__ == '__main__':
    main()
