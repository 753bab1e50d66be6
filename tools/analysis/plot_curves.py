"""Draw the curves of a run: the same as ``mmskelssl curves``."""
from mmskelssl.cli import script

main = script('curves', 'tools/analysis/plot_curves.py')

if __name__ == '__main__':
    main()
