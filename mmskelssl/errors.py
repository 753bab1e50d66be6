"""The error type for everything a user can fix, and a decorator that reports it as one line."""
import errno
import functools
import logging
import os
import re
import select
import sys
from collections.abc import Callable

LONGEST_MESSAGE = 4000  # characters


class UserError(ValueError):
    """A mistake in the data, the config or the command line. The message states where it is and how to fix it.

    Messages quote names from files. They are cut at :data:`LONGEST_MESSAGE` characters.
    """

    def __init__(self, *args):
        super().__init__(*(f'{arg[:LONGEST_MESSAGE]}...' if isinstance(arg, str) and len(arg) > LONGEST_MESSAGE else arg
                           for arg in args))


# Import name -> name of the distribution on PyPI, if the two differ.
_DISTRIBUTIONS = {'cv2': 'opencv-python-headless', 'sklearn': 'scikit-learn', 'PIL': 'pillow', 'yaml': 'pyyaml',
                  'mmcv': 'mmcv-lite'}
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def printable(text) -> str:
    """Return text from a file on one line, with escape codes and line breaks replaced by their ASCII notation."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def plottable(text) -> str:
    """Return :func:`printable` text for Matplotlib, which parses text between two dollar signs as mathematics."""
    return printable(text).replace('$', r'\$')


def one_line_errors(main: Callable) -> Callable:
    """Decorate the ``main`` of a command so that errors a user can fix print one line on stderr.

    The exit status is 2 for a :class:`UserError`, 1 for a missing package or an output that cannot be written, 130
    after Ctrl-C, and 141 if the reader of the output has exited, as in ``| head``. Any other error prints a traceback.
    Set ``MMSKELSSL_DEBUG=1`` to get the traceback of all errors.
    """
    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            try:
                result = main(*args, **kwargs)
            except SystemExit:
                sys.stdout.flush()  # report a full disk or a closed pipe here, not while Python shuts down
                raise
            sys.stdout.flush()
            return result
        except (Exception, KeyboardInterrupt) as error:
            found = explain(error)
            if found is None or os.environ.get('MMSKELSSL_DEBUG'):
                raise
            text, status = found
            if isinstance(error, OSError):
                _drop(sys.stdout)
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:  # stderr is closed or full as well
            pass
        sys.exit(status)
    return wrapper


def explain(error: BaseException) -> tuple[str, int] | None:
    """Return a line that explains an error and the exit status, or None for a bug in the program."""
    if isinstance(error, UserError):
        return f'error: {printable(error)}', 2
    if isinstance(error, KeyboardInterrupt):
        return 'interrupted', 130
    if isinstance(error, BrokenPipeError) and _reader_has_gone():
        return 'stopped: the reader of the output has closed it', 141
    if isinstance(error, OSError) and error.errno in _DISK:
        return f'error: {error.filename or "the output"} cannot be written: {error.strerror}', 1
    if isinstance(error, ImportError) and (text := _explain_import(error)):
        return f'error: {text}', 1
    return None


def _explain_import(error: ImportError) -> str | None:
    """Explain what to install. Return None if one of the package's own modules is missing."""
    text = ' '.join(str(error).split())
    if library := re.match(r'(lib\S+\.so\S*): cannot open shared object file', text):
        cure = f'the system library {library[1]} is missing'
        if library[1].startswith(('libGL', 'libgthread', 'libglib')):
            return (f'OpenCV cannot be imported, {cure}: pip install opencv-python-headless (after pip uninstall '
                    'opencv-python), or apt-get install libgl1 libglib2.0-0')
        return cure
    package = (error.name or '').partition('.')[0]
    if not isinstance(error, ModuleNotFoundError) or package in ('', 'mmskelssl', 'tools'):
        return None
    return f'the package {package} is missing: pip install {_DISTRIBUTIONS.get(package, package)}'


def _reader_has_gone() -> bool:
    """Return whether this process's own output is closed, as opposed to a pipe between processes."""
    if not hasattr(select, 'poll'):
        return True
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop(stream) -> None:
    """Discard buffered output. Otherwise Python would fail again when it shuts down."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # not a real file, as in tests
        pass


def log_without_console() -> None:
    """Keep a run alive after its console output is closed or full. One line reports it, and logging to files continues.

    By default, the logging module would print a traceback for each record.
    """
    def handle_error(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or self.stream not in (sys.stdout, sys.stderr):
            logging.Handler.handleError(self, record)
            return
        _drop(self.stream)
        try:
            print(f'note: the output cannot be written ({error.strerror}); the log goes on in its file',
                  file=sys.stderr, flush=True)
        except OSError:
            pass
    logging.StreamHandler.handleError = handle_error  # type: ignore[method-assign]
