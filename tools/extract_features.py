"""Write the features of a store's clips: the same as ``mmskelssl embed``."""
from mmskelssl.cli import script

main = script('embed', 'tools/extract_features.py')

if __name__ == '__main__':
    main()
