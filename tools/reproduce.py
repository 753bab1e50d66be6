"""Reproduce a table or a figure of a paper: the same as ``mmskelssl reproduce``."""
from mmskelssl.cli import script

main = script('reproduce', 'tools/reproduce.py')

if __name__ == '__main__':
    main()
