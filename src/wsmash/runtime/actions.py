"""What an action returns: something that may be awaited now, later, repeatedly or never.

`client.send(...)` and its like act at the call. What they return is a
`collections.abc.Coroutine`, so that `create_task`, `TaskGroup` and anyio take it,
but unlike a coroutine object it does not mind being left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar, cast, overload

from ..transports import native

T = TypeVar("T")


class Action(Coroutine[Any, Any, T]):
    """What every action returns. Each task that awaits or drives it has a run of its own."""

    __slots__ = ()

    _runs: dict[object, Generator[Any, Any, T]] | None

    def send(self, value: Any) -> Any:
        return self._drive(lambda run: run.send(value))

    @overload
    def throw(
        self, typ: type[BaseException], val: BaseException | object = None, tb: TracebackType | None = None, /
    ) -> Any: ...
    @overload
    def throw(self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /) -> Any: ...
    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        error = typ if isinstance(typ, BaseException) else (val if isinstance(val, BaseException) else typ())
        return self._drive(lambda run: run.throw(error))

    def close(self) -> None:
        run = self._runs.pop(_driver(), None) if self._runs else None
        if run is not None:
            run.close()

    def _drive(self, step: Callable[[Generator[Any, Any, T]], Any]) -> Any:
        if self._runs is None:
            self._runs = {}
        driver = _driver()
        run = self._runs.get(driver)
        if run is None:
            run = self._runs[driver] = self.__await__()
        try:
            return step(run)
        except BaseException:
            self._runs.pop(driver, None)
            raise


class Pending(Action[T], Generic[T]):
    """An action that takes its time.

    Args:
        future: its outcome.
        on_cancel: called when an awaiter is cancelled, even in the turn in which the
            outcome was to reach it; None where that ends only the waiting.
    """

    __slots__ = ("_on_cancel", "_runs", "awaited", "future")

    def __init__(self, future: asyncio.Future[T], on_cancel: Callable[[], object] | None = None) -> None:
        self._runs = None
        self.future = future
        self._on_cancel = on_cancel
        self.awaited = False
        future.add_done_callback(retrieve)

    def __await__(self) -> Generator[Any, Any, T]:
        self.awaited = True
        return self._wait().__await__()

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        cancelled = typ is asyncio.CancelledError or isinstance(typ, asyncio.CancelledError)
        if cancelled and not self.future.done() and not (self._runs and _driver() in self._runs):
            self._cancelled()  # its task was cancelled before the first step
        return super().throw(typ, val, tb)

    def _cancelled(self) -> None:
        if self._on_cancel is not None:
            self._on_cancel()

    async def _wait(self) -> T:
        # One future for each awaiter, so that cancelling one leaves the others and the action alone.
        future = self.future
        if not future.done():
            waiter = future.get_loop().create_future()

            def wake(_: object) -> None:
                if not waiter.done():
                    waiter.set_result(None)

            future.add_done_callback(wake)
            try:
                await waiter
            except asyncio.CancelledError:
                self._cancelled()
                raise
            finally:
                future.remove_done_callback(wake)
        return future.result()

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self.future.done()

    def __repr__(self) -> str:
        return f"<Action {'done' if self.done() else 'under way'}>"


_NOTHING = cast(Generator[Any, Any, None], iter(()))
"""An iterator at its end, where it stays: what a `yield from ()` would be, without a generator for each `await`."""


@native.twin
class Finished(Action[None]):
    """The outcome of every action that needs no waiting; there is one such object."""

    __slots__ = ()

    _runs = None

    def __await__(self) -> Generator[Any, Any, None]:
        return _NOTHING

    def send(self, value: Any) -> Any:
        raise StopIteration

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        raise typ if isinstance(typ, BaseException) else val or typ()

    def close(self) -> None:
        """There is nothing to close."""

    def done(self) -> bool:
        """Always."""
        return True

    def __repr__(self) -> str:
        return "<Action done>"


Action.register(Finished)  # the engine's inherits nothing


class Count(int, Action[int]):
    """How many connections took a broadcast: a number at once, which may also be awaited for itself."""

    _runs = None

    def __await__(self) -> Generator[Any, Any, int]:
        yield from ()
        return int(self)


class Settled(Action[T], Generic[T]):
    """An action that is over, and has a result."""

    __slots__ = ("_result", "_runs")

    def __init__(self, result: T) -> None:
        self._runs = None
        self._result = result

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._result

    def done(self) -> bool:
        """Always."""
        return True

    def __repr__(self) -> str:
        return "<Action done>"


DONE = Finished()


def finished_with(error: BaseException) -> Pending[Any]:
    """An action that has failed already: the network's errors are raised when it is awaited."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return Pending(future)


def _driver() -> object:
    """Who drives: the current task, or whoever calls outside any."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def retrieve(future: asyncio.Future[Any]) -> None:
    """Look at the outcome, so that asyncio never reports it as never retrieved."""
    if not future.cancelled():
        future.exception()
