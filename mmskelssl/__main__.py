"""``python -m mmskelssl``: the same as ``mmskelssl``."""
from mmskelssl.cli import main

if __name__ == '__main__':
    main()
