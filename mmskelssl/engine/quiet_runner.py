"""mmengine's Runner with a console that a person can read."""
import logging
import sys

from mmengine.runner import Runner

# mmengine's notes to its own developers, which a run's owner can do nothing about.
_NOISE = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


class QuietRunner(Runner):
    """A Runner that writes what it prints over many lines to its log file only.

    That is the environment, the config and the order of the hooks, some 300 lines. The console says where they are.
    Warnings are shown in full.
    """

    def build_logger(self, *args, **kwargs):
        logger = super().build_logger(*args, **kwargs)
        files = [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        for handler in logger.handlers:
            # Without a file there is no other place for them.
            if files and type(handler) is logging.StreamHandler and handler.stream in (sys.stdout, sys.stderr):
                handler.addFilter(_fits_console)
        if files:
            logger.info(f'environment, config and hooks are in {files[0]}')
        return logger


def _fits_console(record: logging.LogRecord) -> bool:
    """Whether the console shows a record."""
    text = record.getMessage()
    return not text.startswith(_NOISE) and (record.levelno >= logging.WARNING or '\n' not in text.strip())
