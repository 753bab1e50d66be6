"""Write an encoder's weights for sharing: the same as ``mmskelssl export``."""
from mmskelssl.cli import script

main = script('export', 'tools/analysis/export_weights.py')

if __name__ == '__main__':
    main()
