"""One error type for everything a user can mend, and the wrapper that shows it as one line."""
import functools
import os
import sys


class UserError(ValueError):
    """A mistake in data, config or command line. The message names the place and says what to do."""


def one_line_errors(main):
    """Decorate a tool's ``main``: a :class:`UserError` ends it with one line and exit status 2.

    Set ``MMSKELSSL_DEBUG=1`` for the traceback.
    """
    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except UserError as error:
            if os.environ.get('MMSKELSSL_DEBUG'):
                raise
            print(f'error: {error}', file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            sys.exit(130)
    return wrapper
