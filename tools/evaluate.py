"""Measure encoders with the protocols of the papers: the same as ``mmskelssl evaluate``."""
from mmskelssl.cli import script

main = script('evaluate', 'tools/evaluate.py')

if __name__ == '__main__':
    main()
