"""Callbacks by event name, stored without a dict: none as None, one as it is, several as a tuple.

Tuples are replaced, never changed, so that a change made while an event is
delivered takes effect from the next event.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from sys import intern
from types import CoroutineType
from typing import Any, ClassVar, NoReturn, TypeVar

from ..signatures import takes_one
from .actions import Action

Callback = Callable[[Any], object]
Stored = Callback | tuple[Callback, ...] | None
C = TypeVar("C", bound=Callback)


class Decorates(Enum):
    """Stands for the callback where `on` is used as a decorator."""

    DECORATES = auto()


DECORATES = Decorates.DECORATES


class Emitter:
    """The base of what has `on` and `off`; each event's callbacks are in the slot `_on_<event>`."""

    __slots__ = ()

    EVENTS: ClassVar[tuple[str, ...]] = ()

    def __reduce__(self) -> NoReturn:
        """It lives in this process, and what it knows may be secret."""
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied")

    def _add_callback(self, event: str, callback: C | Decorates) -> C | Callable[[C], C]:
        """What `on` does: add the callback, or return a decorator that adds one."""
        slot = self._slot(event)
        if callback is DECORATES:

            def add(callback: C) -> C:
                self._store(slot, callback)
                return callback

            return add
        self._store(slot, callback)
        return callback

    def _store(self, slot: str, callback: Callback) -> None:
        if not callable(callback):
            raise TypeError(f"a callback must be callable, and {callback!r:.75} is not")
        if not takes_one(callback):
            raise TypeError(f"a callback takes one argument, the event, and {callback.__qualname__} does not")
        stored = getattr(self, slot)
        setattr(self, slot, callback if stored is None else (*as_tuple(stored), callback))

    def off(self, event: str, callback: Callback) -> None:
        """Remove one callback that equals the one given; one that is not there is ignored.

        Raises:
            ValueError: there is no such event.
        """
        slot = self._slot(event)
        left = list(as_tuple(getattr(self, slot)))
        if callback in left:
            left.remove(callback)
            setattr(self, slot, tuple(left) if len(left) > 1 else left[0] if left else None)

    def _slot(self, event: str) -> str:
        if event not in self.EVENTS:
            raise ValueError(f"no event is named {event!r:.75}: the events are {', '.join(self.EVENTS)}")
        return intern(f"_on_{event}")  # Python's cache of attributes would keep a name of each connection's own


def as_tuple(stored: Stored) -> tuple[Callback, ...]:
    """The callbacks, in the order they were added."""
    if stored is None:
        return ()
    return stored if type(stored) is tuple else (stored,)  # type: ignore[return-value]


def must_run(result: object) -> bool:
    """Whether what a callback returned is an awaitable that nobody runs yet."""
    if result is None or isinstance(result, Action):
        return False
    return type(result) is CoroutineType or hasattr(result, "__await__")
