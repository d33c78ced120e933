"""What the values of options may be; each check says what is allowed and what was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any

from ..addresses import Networks
from ..grammar import is_token
from ..signatures import takes_one
from ..urls import split_host


def check_protocols(protocols: str | Sequence[str]) -> tuple[str, ...]:
    """Subprotocols as a tuple.

    Raises:
        TypeError, ValueError: one is no token (RFC 6455 4.1), or is named twice.
    """
    found = strings("protocols", protocols)
    for item in found:
        if not is_token(item):
            raise ValueError(f"protocols must hold tokens (RFC 9110 5.6.2), and {item!r} is none")
    if len(set(found)) != len(found):
        raise ValueError(f"protocols must not name one twice: {', '.join(found)}")
    return found


def check_seconds(name: str, value: object, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        allowed = "a number or None" if optional else "a number"
        raise TypeError(f"{name} must be {allowed}, not {value!r}")
    if not (isfinite(value) and value > 0):
        allowed = "above 0" if isfinite(value) else "a finite number above 0"
        raise ValueError(f"{name} must be {allowed}, and is {value!r}{'; None is no limit' if optional else ''}")


def check_int(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least or (most is not None and value > most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be {allowed}, and is {value}")


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, and is {value!r}")


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_function(name: str, value: object, argument: str) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function, not {value!r}")
    if value is not None and not takes_one(value):
        raise TypeError(f"{name} must take one argument, {argument}; {value!r} does not")


def check_type(name: str, value: object, types: tuple[type, ...], allowed: str, *, shows: bool = True) -> None:
    if not isinstance(value, types):
        raise TypeError(f"{name} must be {allowed}, not {repr(value) if shows else type(value).__name__}")


def check_each(name: str, values: Iterable[str], is_right: Callable[[str], bool], allowed: str) -> None:
    for value in values:
        if not is_right(value):
            raise ValueError(f"{name} must hold {allowed}, and {value!r} is none")


def is_origin(text: str) -> bool:
    scheme, separator, place = text.partition("://")
    return text in ("*", "null") or bool(scheme and separator and is_host(place))


def is_proxy(text: str) -> bool:
    try:
        Networks(() if text == "unix" else (text,))
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    try:
        split_host(text)
    except ValueError:
        return False
    return True


def strings(name: str, value: object) -> tuple[str, ...]:
    found: tuple[Any, ...] = (value,)
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = tuple(value)
    if not all(isinstance(item, str) for item in found):
        raise TypeError(f"{name} must be a str or a sequence of str, not {value!r}")
    return found
