"""Checks of options. A mistake is reported in one line with the option, its value and the values that are allowed."""
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from mmskelssl.errors import UserError


def check_choice(name: str, value, choices: Sequence[str]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f'{name} is {value!r}: choose one of {", ".join(choices)}')


def check_choices(name: str, values, choices: Sequence[str]) -> tuple[str, ...]:
    """Return one or more different ``choices``, in their order. A single one may be given without a list."""
    given = [values] if isinstance(values, str) else values
    if not isinstance(given, (list, tuple)) or not given:
        raise UserError(f'{name} is {values!r}: choose one or more of {", ".join(choices)}')
    for value in given:
        check_choice(name, value, choices)
    if len(set(given)) < len(given):
        raise UserError(f'{name} is {values!r}: name each only once')
    return tuple(choice for choice in choices if choice in given)


def check_integer(name: str, value, least: int = 1, instead: str = '') -> None:
    """Raise unless ``value`` is an integer of at least ``least``. ``instead`` is added to the message."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise UserError(f'{name} is {value!r}; it must be an integer of at least {least}{instead}')


def check_seed(name: str, value) -> None:
    """Raise unless ``value`` is a seed that every generator takes: an integer from 0 to 2^32 - 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) < 1 << 32:
        raise UserError(f'{name} is {value!r}; it must be an integer from 0 to {(1 << 32) - 1}')


def check_number(name: str, value, low: float = -math.inf, high: float = math.inf, *, above: float | None = None,
                 below: float | None = None, instead: str = '') -> None:
    """Raise unless ``value`` is a finite number in [low, high], and within the open bounds where they are given."""
    real = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if real and low <= value <= high and (above is None or value > above) and (below is None or value < below):
        return
    bounds = [text for text, given in ((f'above {above}', above is not None), (f'at least {low}', low > -math.inf),
                                       (f'below {below}', below is not None), (f'at most {high}', high < math.inf))
              if given]
    raise UserError(f'{name} is {value!r}; it must be a finite number {" and ".join(bounds)}'.rstrip() + instead)


def check_switch(name: str, value) -> None:
    """Raise unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise UserError(f'{name} is {value!r}; it must be True or False')


def check_arguments(name: str, value, example: str) -> dict:
    """Return the arguments of a part, a dict or None, as a dict. ``example`` shows one in the message."""
    if value is not None and not isinstance(value, Mapping):
        raise UserError(f'{name} is {value!r}; it must be a dict of arguments, such as {example}')
    return dict(value or {})
