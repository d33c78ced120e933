"""The wheel: who is asked when, and how few timers that takes, under a clock and a loop that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import cast

import pytest

from wsmash.runtime.deadlines import TICKS_PER_SECOND, Wheel

TICK = 1 / TICKS_PER_SECOND


class FakeTimer:
    """What `call_later` gives."""

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Tells a time that the test sets, and calls back on the way there."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.timers: list[FakeTimer] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> FakeTimer:
        assert delay >= 0
        timer = FakeTimer(self.now + delay, callback)
        self.timers.append(timer)
        self.made += 1
        return timer

    @property
    def waiting(self) -> list[FakeTimer]:
        """The timers that will call back."""
        return [timer for timer in self.timers if not timer.cancelled]

    def run_until(self, when: float) -> None:
        """Let time pass, timer by timer."""
        while True:
            due = min(
                (timer for timer in self.waiting if timer.when <= when), key=lambda timer: timer.when, default=None
            )
            if due is None:
                break
            self.timers.remove(due)
            self.now = max(self.now, due.when)
            due.callback()
        self.now = when


class Asked:
    """An entry that notes when it was asked."""

    def __init__(self, act: Callable[[float], float | None] = lambda now: None) -> None:
        self.tick = -1
        self.at: list[float] = []
        self.act = act

    def due(self, now: float) -> float | None:
        self.at.append(now)
        return self.act(now)


@pytest.fixture
def loop() -> FakeLoop:
    """A loop at the time 1000."""
    return FakeLoop()


@pytest.fixture
def wheel(loop: FakeLoop) -> Wheel:
    """A wheel that tells the loop's time."""
    return Wheel(cast(asyncio.AbstractEventLoop, loop))


@pytest.mark.parametrize("delay", [0.0, 0.001, TICK, 0.1, 0.5, 1.0, 3.99, 4.0, 4.01, 10.0, 20.3, 60.0, 86400.0])
def test_asked_once_and_never_early(loop: FakeLoop, wheel: Wheel, delay: float) -> None:
    """An entry is asked once, at its moment or a little later: a tick, or a quarter of a second from afar."""
    entry = Asked()
    wheel.ask(entry, 1000 + delay)
    assert len(wheel) == 1
    loop.run_until(1000 + delay + 100)
    [at] = entry.at
    assert 1000 + delay <= at <= 1000 + delay + (TICK * 2 if delay < 3.9 else 0.25 + TICK)
    assert entry.tick == -1
    assert len(wheel) == 0
    assert loop.waiting == []


def test_a_moment_in_the_past_is_due_soon(loop: FakeLoop, wheel: Wheel) -> None:
    """What should have been asked already is asked at the next tick, from the loop, never from inside `ask`."""
    entry = Asked()
    wheel.ask(entry, 5.0)
    assert entry.at == []
    loop.run_until(1000 + 2 * TICK)
    assert len(entry.at) == 1


def test_order(loop: FakeLoop, wheel: Wheel) -> None:
    """Entries are asked in the order of their moments, whatever the order they came in."""
    order: list[int] = []
    for number in (3, 1, 4, 0, 2):

        def note(now: float, number: int = number) -> None:
            order.append(number)

        wheel.ask(Asked(note), 1000 + number)
    loop.run_until(1010)
    assert order == [0, 1, 2, 3, 4]


def test_asked_again_when_it_says(loop: FakeLoop, wheel: Wheel) -> None:
    """The moment that `due` returns is the next one."""
    entry = Asked(lambda now: now + 1 if now < 1005 else None)
    wheel.ask(entry, 1001)
    loop.run_until(1100)
    assert len(entry.at) == 5
    assert all(1 <= later - sooner <= 1 + 2 * TICK for sooner, later in zip(entry.at, entry.at[1:], strict=False))
    assert len(wheel) == 0


def test_a_deadline_that_moves_costs_nothing_until_it_is_near(loop: FakeLoop, wheel: Wheel) -> None:
    """A later moment is not noted: the entry is asked at the earlier one, and says when to ask again."""
    deadline = 1010.0
    entry = Asked(lambda now: deadline if now < deadline else None)
    wheel.ask(entry, deadline)
    made = loop.made
    for _ in range(1000):
        deadline += 0.01
        wheel.ask(entry, deadline)
    assert loop.made == made
    loop.run_until(1100)
    assert len(entry.at) == 2
    assert 1020 <= entry.at[1] <= 1020.5


def test_an_earlier_moment_moves_it(loop: FakeLoop, wheel: Wheel) -> None:
    """An entry that waits for later is asked at the earlier moment, and then only when it says."""
    entry = Asked()
    wheel.ask(entry, 1060)
    wheel.ask(entry, 1002)
    assert len(wheel) == 1
    loop.run_until(1003)
    assert len(entry.at) == 1
    loop.run_until(1100)
    assert len(entry.at) == 1


def test_forget(loop: FakeLoop, wheel: Wheel) -> None:
    """What is forgotten is not asked, may be forgotten again, and may come back."""
    entry, other = Asked(), Asked()
    wheel.ask(entry, 1001)
    wheel.ask(other, 1001)
    wheel.forget(entry)
    wheel.forget(entry)
    assert (entry.tick, len(wheel)) == (-1, 1)
    loop.run_until(1005)
    assert (len(entry.at), len(other.at)) == (0, 1)
    wheel.ask(entry, 1006)
    loop.run_until(1010)
    assert len(entry.at) == 1


def test_forgotten_by_another_of_the_same_moment(loop: FakeLoop, wheel: Wheel) -> None:
    """An entry whose turn it would be is not asked once another has it forgotten."""
    second = Asked()
    first = Asked(lambda now: wheel.forget(second))
    wheel.ask(first, 1001)
    wheel.ask(second, 1001)
    loop.run_until(1010)
    assert (len(first.at), second.at) == (1, [])
    assert second.tick == -1


def test_moved_by_another_of_the_same_moment(loop: FakeLoop, wheel: Wheel) -> None:
    """An entry that another forgets and asks for anew is asked at its new moment alone."""
    second = Asked()

    def move(now: float) -> None:
        wheel.forget(second)
        wheel.ask(second, 1003)

    first = Asked(move)
    wheel.ask(first, 1001)
    wheel.ask(second, 1001)
    loop.run_until(1010)
    [at] = second.at
    assert 1003 <= at < 1003.5


def test_asked_for_while_it_is_asked(loop: FakeLoop, wheel: Wheel) -> None:
    """Where `due` itself asks, and returns another moment too, the earlier of both counts, once."""

    def act(now: float) -> float | None:
        if len(entry.at) == 1:
            wheel.ask(entry, now + 1)
            return now + 2
        return None

    entry = Asked(act)
    wheel.ask(entry, 1001)
    loop.run_until(1020)
    assert len(entry.at) == 2
    assert 1 <= entry.at[1] - entry.at[0] <= 1.1


def test_a_fault_in_one_leaves_the_others(loop: FakeLoop, wheel: Wheel) -> None:
    """Where one raises, all that are due with it, and after it, are still asked."""

    def fail(now: float) -> None:
        raise KeyboardInterrupt

    entries = [Asked(), Asked(fail), Asked(), Asked()]
    for entry in entries[:3]:
        wheel.ask(entry, 1001)
    wheel.ask(entries[3], 1002)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until(1010)
    loop.run_until(1010)
    assert [len(entry.at) for entry in entries] == [1, 1, 1, 1]
    assert len(wheel) == 0


def test_a_timer_that_comes_early_is_set_again(loop: FakeLoop, wheel: Wheel) -> None:
    """Loops round their timers: nobody is asked before its moment for that."""
    entry = Asked()
    wheel.ask(entry, 1001)
    [timer] = loop.timers
    loop.timers.remove(timer)
    loop.now = 1000.99
    timer.callback()
    assert entry.at == []
    assert len(loop.waiting) == 1
    loop.run_until(1002)
    assert len(entry.at) == 1


def test_a_loop_that_was_blocked_catches_up(loop: FakeLoop, wheel: Wheel) -> None:
    """After a long stop all that is overdue is asked in one turn, in order, with the present time."""
    entries = [Asked() for _ in range(10)]
    for number, entry in enumerate(entries):
        wheel.ask(entry, 1001 + number)
    [timer] = loop.waiting
    loop.timers.remove(timer)
    loop.now = 2000.0
    timer.callback()
    assert [entry.at for entry in entries] == [[2000.0]] * 10
    assert loop.waiting == []


def test_thousands_share_few_timers(loop: FakeLoop, wheel: Wheel) -> None:
    """10 000 connections with a ping each 20 s keep one timer waiting, and need four timers a second at most."""
    random = Random(1)
    entries = [Asked(lambda now: now + 20) for _ in range(10_000)]
    for entry in entries:
        wheel.ask(entry, 1000 + 20 * random.random())
        assert len(loop.waiting) <= 1
    loop.run_until(1020)
    loop.made = 0
    loop.run_until(1060)
    assert loop.made <= 40 * 4 + 4
    assert len(loop.waiting) == 1
    assert len(wheel) == 10_000
    for entry in entries:
        assert all(20 <= later - sooner <= 20.3 for sooner, later in zip(entry.at, entry.at[1:], strict=False))


def test_a_storm_of_short_lives_leaves_nothing(loop: FakeLoop, wheel: Wheel) -> None:
    """Entries that come and are forgotten keep neither timers nor slots."""
    for _ in range(5000):
        entry = Asked()
        wheel.ask(entry, loop.now + 10)
        wheel.forget(entry)
        loop.run_until(loop.now + 0.01)
    assert len(wheel) == 0
    loop.run_until(loop.now + 11)
    assert loop.waiting == []
    wheel.ask(entry, loop.now + 1)
    loop.run_until(loop.now + 2)
    assert len(entry.at) == 1


def test_random_lives(loop: FakeLoop, wheel: Wheel) -> None:
    """Whatever is asked, moved and forgotten, each entry is asked by its earliest moment and never before it."""
    random = Random(7)
    entries = [Asked() for _ in range(50)]
    wanted: dict[Asked, float] = {}
    for _ in range(4000):
        entry = random.choice(entries)
        choice = random.random()
        if choice < 0.6:
            when = loop.now + random.choice([0.01, 0.2, 3, 5, 30]) * random.random()
            wheel.ask(entry, when)
            wanted[entry] = min(when, wanted.get(entry, when))
        elif choice < 0.75:
            wheel.forget(entry)
            wanted.pop(entry, None)
        else:
            loop.run_until(loop.now + random.random())
            for each in entries:
                for at in each.at:
                    assert wanted.pop(each) <= at
                each.at.clear()
            assert all(when > loop.now - 0.25 - 2 * TICK for when in wanted.values())
        assert len(wheel) == len(wanted)


def test_a_clock_of_its_own(loop: FakeLoop) -> None:
    """A wheel follows the clock that it is given, and uses the loop only to be called back."""
    now = 5.0
    wheel = Wheel(cast(asyncio.AbstractEventLoop, loop), lambda: now)
    entry = Asked()
    wheel.ask(entry, 7.0)
    assert loop.waiting[0].when == 1002.0
    now = 7.0
    loop.run_until(1002.0)
    assert entry.at == [7.0]


def test_on_a_real_loop() -> None:
    """asyncio's own loop is a loop like this."""

    async def scenario() -> list[float]:
        wheel = Wheel(asyncio.get_running_loop())
        asked = asyncio.Event()

        def act(now: float) -> None:
            asked.set()

        entry = Asked(act)
        wheel.ask(entry, wheel.clock() + 0.001)
        await asked.wait()
        return entry.at

    assert len(asyncio.run(scenario())) == 1


def test_the_last_to_be_forgotten_takes_the_timer_along() -> None:
    """Where nobody waits there is no timer, and who comes next is asked as ever."""
    loop = FakeLoop()
    wheel = Wheel(cast(asyncio.AbstractEventLoop, loop))
    first, second = Asked(), Asked()
    wheel.ask(first, loop.now + 1)
    wheel.ask(second, loop.now + 300)
    wheel.forget(first)
    assert len(wheel) == 1 and loop.waiting
    wheel.forget(second)
    assert len(wheel) == 0 and not loop.waiting
    wheel.ask(first, loop.now + 2)
    loop.run_until(loop.now + 3)
    assert len(first.at) == 1 and not loop.waiting


def test_forgotten_within_a_turn() -> None:
    """The last entry but the one that is asked may be forgotten by it, and it may be asked again: by one timer."""
    loop = FakeLoop()
    wheel = Wheel(cast(asyncio.AbstractEventLoop, loop))
    other = Asked()

    def act(now: float) -> float:
        wheel.forget(other)
        return now + 5

    asked = Asked(act)
    wheel.ask(asked, loop.now + 1)
    wheel.ask(other, loop.now + 9)
    loop.run_until(loop.now + 2)
    assert len(wheel) == 1 and len(loop.waiting) == 1
    loop.run_until(loop.now + 5)
    assert not other.at and len(asked.at) == 2 and len(loop.waiting) == 1
