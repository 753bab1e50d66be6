"""Draw and measure a method's masks: the same as ``mmskelssl attention``."""
from mmskelssl.cli import script

main = script('attention', 'tools/analysis/attention.py')

if __name__ == '__main__':
    main()
