"""What can be called with what: constructors that take the parameters of a dataclass of options, users' functions.

An option is then written once, with its default, its meaning and its check, and
editors, type checkers and `help` still show every one of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import CO_VARARGS
from types import FunctionType, MethodType
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


def takes_one(callback: Callable[..., object]) -> bool:
    """Whether a function can be called with one argument; of other callables nothing is asked.

    Looks at the code object, since a server adds callbacks for each connection and
    `inspect.signature` takes longer than all the rest of that.
    """
    bound = type(callback) is MethodType
    function = callback.__func__ if bound else callback  # type: ignore[attr-defined]
    if type(function) is not FunctionType:
        return True
    code, given = function.__code__, 1 + bound
    if code.co_argcount == given and not code.co_kwonlyargcount:
        return True  # as nearly all are
    if code.co_kwonlyargcount > len(function.__kwdefaults__ or ()):
        return False
    needed = code.co_argcount - len(function.__defaults__ or ())
    return needed <= given and (code.co_argcount >= given or bool(code.co_flags & CO_VARARGS))
