"""One error type for everything a user can mend, and the wrapper that shows it as one line."""
import errno
import functools
import logging
import os
import re
import select
import sys
from collections.abc import Callable


class UserError(ValueError):
    """A mistake in data, config or command line. The message names the place and says what to do."""


# Import name -> what pip installs, where the two differ.
_DISTRIBUTIONS = {'cv2': 'opencv-python-headless', 'sklearn': 'scikit-learn', 'PIL': 'pillow', 'yaml': 'pyyaml',
                  'mmcv': 'mmcv-lite'}
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def printable(text) -> str:
    """Text from a file on one line, with what could drive a terminal (escape codes, line breaks) written out."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def one_line_errors(main: Callable) -> Callable:
    """Decorate a command's ``main``: what the user can mend ends it with one line on stderr.

    The exit status is 2 for a :class:`UserError`, 1 for a missing package or an output that cannot be written, 130
    after Ctrl-C, and 141 where the reader of the output has gone, as in ``| head``. Any other error is a traceback.
    Set ``MMSKELSSL_DEBUG=1`` for the traceback of these, too.
    """
    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            try:
                result = main(*args, **kwargs)
            except SystemExit:
                sys.stdout.flush()  # a full disk or a closed pipe shows here, and not while Python shuts down
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
        except OSError:  # that is closed or full, too
            pass
        sys.exit(status)
    return wrapper


def explain(error: BaseException) -> tuple[str, int] | None:
    """The line that says what to do about an error, and the exit status; None for a fault of the program."""
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
    """What to install; None where one of the package's own modules is the fault."""
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
    """Whether it is our own output that is closed, and not a pipe between processes."""
    if not hasattr(select, 'poll'):
        return True
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop(stream) -> None:
    """Send what is still buffered nowhere: Python would fail once more when it shuts down."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # no real file, as in tests
        pass


def log_without_console() -> None:
    """Let a run outlive its console: a closed or full output costs one line, and logging to files goes on.

    The logging module would print a traceback for each record.
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
