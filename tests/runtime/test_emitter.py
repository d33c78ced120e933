"""What `on` and `off` promise, and how callbacks are stored."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from wsmash.runtime.actions import DONE, Count
from wsmash.runtime.emitter import DECORATES, Callback, Emitter, Stored, as_tuple, must_run
from wsmash.signatures import takes_one


class Bell(Emitter):
    """Has two events."""

    __slots__ = ("_on_rest", "_on_ring")

    EVENTS = ("ring", "rest")

    def __init__(self) -> None:
        self._on_ring: Stored = None
        self._on_rest: Stored = None

    def on(self, event: str, callback: Any = DECORATES) -> Any:
        """As the package's classes have it."""
        return self._add_callback(event, callback)

    def ring(self, value: object = None) -> None:
        """Deliver one event, as the package does."""
        for callback in as_tuple(self._on_ring):
            callback(value)


class Notes:
    """Callbacks that note their name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def silent(self) -> None:
        """Takes no event."""

    def named(self, name: str) -> Callback:
        """A new callback."""

        def note(_: object) -> None:
            self.names.append(name)

        return note


@pytest.fixture
def bell() -> Bell:
    """A new emitter."""
    return Bell()


@pytest.fixture
def notes() -> Notes:
    """A new list."""
    return Notes()


def test_on_returns_the_callback(bell: Bell, notes: Notes) -> None:
    """The callback comes back as it is, so that it can be kept for `off`."""
    callback = notes.named("a")
    assert bell.on("ring", callback) is callback


def test_on_as_a_decorator(bell: Bell) -> None:
    """Without a callback `on` gives a decorator, which leaves the function's name to the function."""
    heard: list[object] = []
    add: Callable[[Callback], Callback] = bell.on("ring")

    @add
    def hear(value: object) -> None:
        heard.append(value)

    assert callable(hear)
    bell.ring(1)
    hear(2)
    assert heard == [1, 2]


def test_order_of_callbacks(bell: Bell, notes: Notes) -> None:
    """Callbacks run in the order they were added."""
    for name in "abcd":
        bell.on("ring", notes.named(name))
    bell.ring()
    assert notes.names == list("abcd")


def test_the_same_callback_twice(bell: Bell, notes: Notes) -> None:
    """What was added twice runs twice, and `off` removes one at a time."""
    a = notes.named("a")
    bell.on("ring", a)
    bell.on("ring", notes.named("b"))
    bell.on("ring", a)
    bell.ring()
    assert notes.names == ["a", "b", "a"]
    bell.off("ring", a)
    notes.names.clear()
    bell.ring()
    assert notes.names == ["b", "a"]
    bell.off("ring", a)
    bell.off("ring", a)
    notes.names.clear()
    bell.ring()
    assert notes.names == ["b"]


def test_off_compares_with_equals(bell: Bell, notes: Notes) -> None:
    """A bound method is a new object at each look, and still the same callback."""
    bell.on("ring", notes.names.append)
    assert notes.names.append is not notes.names.append
    bell.off("ring", notes.names.append)
    bell.ring("x")
    assert notes.names == []


@pytest.mark.parametrize("before", range(4))
def test_off_of_what_is_not_there(bell: Bell, notes: Notes, before: int) -> None:
    """Removing a callback that was never added changes nothing."""
    for number in range(before):
        bell.on("ring", notes.named(str(number)))
    bell.off("ring", notes.named("other"))
    bell.off("rest", notes.named("other"))
    bell.ring()
    assert len(notes.names) == before


@pytest.mark.parametrize("event", ["Ring", "", "ringing", "on_ring", None, 1, ["ring"]])
def test_an_unknown_event(bell: Bell, notes: Notes, event: Any) -> None:
    """`on`, as a decorator too, and `off` refuse an unknown name, and list the valid ones."""
    for act in (lambda: bell.on(event, notes.named("a")), lambda: bell.on(event), lambda: bell.off(event, print)):
        with pytest.raises(ValueError, match="ring, rest") as caught:
            act()
        assert repr(event) in str(caught.value)


@pytest.mark.parametrize("callback", [5, "print", [print]])
def test_what_cannot_be_called(bell: Bell, callback: Any) -> None:
    """A callback that is none is a TypeError that shows it, at `on`, and nothing is added."""
    with pytest.raises(TypeError, match="callable") as caught:
        bell.on("ring", callback)
    assert repr(callback) in str(caught.value)
    with pytest.raises(TypeError):
        bell.on("ring")(callback)
    bell.ring()


def test_what_cannot_be_called_is_cut(bell: Bell) -> None:
    """A huge value is shown, but not all of it."""
    with pytest.raises(TypeError) as caught:
        bell.on("ring", "x" * 10_000)
    assert len(str(caught.value)) < 200


def test_changes_take_effect_from_the_next_event(bell: Bell, notes: Notes) -> None:
    """What is added or removed while an event is delivered leaves that delivery as it was."""
    b = notes.named("b")

    def change(_: object) -> None:
        notes.names.append("change")
        bell.off("ring", change)
        bell.off("ring", b)
        bell.on("ring", notes.named("new"))

    bell.on("ring", change)
    bell.on("ring", b)
    bell.ring()
    assert notes.names == ["change", "b"]
    notes.names.clear()
    bell.ring()
    assert notes.names == ["new"]


def test_events_are_apart(bell: Bell, notes: Notes) -> None:
    """A callback hears its own event alone."""
    bell.on("rest", notes.named("rest"))
    bell.ring()
    assert notes.names == []
    bell.off("ring", print)
    assert len(as_tuple(bell._on_rest)) == 1


def test_callbacks_of_every_kind(bell: Bell) -> None:
    """Functions, methods, partials, classes and objects with `__call__` are callbacks, named tuples with it too."""

    class Callable3(tuple[int, ...]):
        """A tuple that can be called."""

        __slots__ = ()

        def __call__(self, value: object) -> None:
            heard.append(value)

    heard: list[object] = []
    callbacks: list[Callable[[Any], object]] = [heard.append, functools.partial(heard.append), heard.extend, str]
    bell.on("ring", Callable3((1, 2, 3)))
    bell.ring("a")
    assert heard == ["a"]
    for callback in callbacks:
        bell.on("ring", callback)
    bell.ring("b")
    assert heard == ["a", "b", "b", "b", "b"]


def test_a_single_callback_is_stored_bare(bell: Bell, notes: Notes) -> None:
    """No callback costs nothing, one costs no container: most connections have one of each."""

    def stored() -> Stored:
        return bell._on_ring

    a, b = notes.named("a"), notes.named("b")
    assert stored() is None
    bell.on("ring", a)
    assert stored() is a
    bell.on("ring", b)
    assert stored() == (a, b)
    bell.off("ring", a)
    assert stored() is b
    bell.off("ring", b)
    assert stored() is None


def test_what_must_be_run() -> None:
    """A coroutine and an awaitable of others must be run; our own, and values of any kind, must not."""

    async def scenario() -> None:
        async def callback() -> None:
            pass

        coroutine = callback()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        assert must_run(coroutine)
        assert must_run(future)
        coroutine.close()
        for value in (None, 0, "x", DONE, Count(3), iter("x"), [coroutine]):
            assert not must_run(value)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("callback", "takes"),
    [
        (lambda event: event, True),
        (lambda *events: events, True),
        (lambda event, more=1: event, True),
        (lambda event, *, more=1: event, True),
        (print, True),
        (Notes().named, True),
        (lambda: None, False),
        (lambda one, two: one, False),
        (lambda event, *, more: event, False),
        (Notes().silent, False),
    ],
)
def test_a_callback_must_take_one_argument(bell: Bell, callback: Callback, takes: bool) -> None:
    """One that cannot be called with its event is refused where it is added, not when the event comes."""
    assert takes_one(callback) is takes
    if takes:
        bell.on("ring", callback)
    else:
        with pytest.raises(TypeError, match="a callback takes one argument, the event, and "):
            bell.on("ring", callback)


def test_none_is_no_callback(bell: Bell) -> None:
    """`on("ring", None)` is a mistake, not a decorator."""
    with pytest.raises(TypeError, match="callable"):
        bell.on("ring", None)
