"""Constructors and functions that take the parameters of a dataclass of options.

An option is then written once, with its default, its meaning and its check, and
editors, type checkers and `help` still show every one of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")


def takes(options: Callable[P, T]) -> Callable[[Callable[[S, T], None]], Callable[Concatenate[S, P], None]]:
    """Give a constructor the parameters of its options, so that editors and type checkers know each of them.

    What is decorated is called with the options made of the arguments.
    """

    def decorate(init: Callable[[S, T], None]) -> Callable[Concatenate[S, P], None]:
        signature = inspect.signature(options)

        def construct(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{type(self).__name__}: {error}; options are keyword arguments") from None
            init(self, options(*args, **kwargs))

        functools.update_wrapper(construct, init)
        parameters = signature.parameters.values()
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        construct.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
        return construct

    return decorate


def with_parameters_of(make: Callable[P, S]) -> Callable[[Callable[[S], R]], Callable[P, R]]:
    """Make a function of an object a function of what the object is made of."""

    def decorate(function: Callable[[S], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(make(*args, **kwargs))

        call.__signature__ = inspect.signature(make)  # type: ignore[attr-defined]
        return call

    return decorate
