"""mmengine's Runner with readable console output."""
import logging
import sys

from mmengine.runner import Runner

# Notes to mmengine's developers, which users cannot act on.
_NOISE = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


class QuietRunner(Runner):
    """A Runner that writes messages of several lines only to its log file.

    These are the environment, the config and the order of the hooks, about 300 lines. The console shows the path of the
    log file. Warnings are shown in full.
    """

    def build_logger(self, *args, **kwargs):
        logger = super().build_logger(*args, **kwargs)
        files = [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        for handler in logger.handlers:
            # Without a log file, the console shows everything.
            if files and type(handler) is logging.StreamHandler and handler.stream in (sys.stdout, sys.stderr):
                handler.addFilter(_fits_console)
        if files:
            logger.info(f'environment, config and hooks are in {files[0]}')
        return logger


def _fits_console(record: logging.LogRecord) -> bool:
    """Return whether the console shows a record."""
    text = record.getMessage()
    return not text.startswith(_NOISE) and (record.levelno >= logging.WARNING or '\n' not in text.strip())
