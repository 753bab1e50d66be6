"""Turn a data set into a store, and look after stores: the same as ``mmskelssl prepare``."""
from mmskelssl.cli import script

main = script('prepare', 'tools/prepare_data.py')

if __name__ == '__main__':
    main()
