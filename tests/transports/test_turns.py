"""How long a turn of the native engine is where each of many connections has little to do, and all of it is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fixtures.driver import Bench, End
from fixtures.frames import text
from fixtures.in_loop import in_loop
from wsmash.constants import Opcode

COUNT = 96
SLOW = 0.001
"""Seconds that each message takes."""


def slow(bench: Bench, order: list[End]) -> list[End]:
    """Connections that answer each message, and take their time."""
    ends = [bench.attach() for _ in range(COUNT)]
    for end in ends:
        end.upgrade()

        def answer(what: tuple[object, ...], end: End = end) -> None:
            if what[0] == "message":
                time.sleep(SLOW)
                order.append(end)
                end.channel.send(Opcode.TEXT, b"answer")

        end.handler.act = answer
    return ends


def has_answer(end: End) -> bool:
    """Whether something came already."""
    try:
        return bool(end.peer.recv(1))
    except BlockingIOError:
        return False


@in_loop
async def test_answers_do_not_wait_for_all_others(natives: Bench) -> None:
    """The first answers have left, and the loop has turned, long before the last message is looked at."""
    order: list[End] = []
    ends = slow(natives, order)
    for end in ends:
        end.peer.send(text("message", masked=True))
    while not order:
        await asyncio.sleep(0)
    assert len(order) <= COUNT // 2
    assert has_answer(order[0])
    while len(order) < COUNT:
        await asyncio.sleep(0)
    assert len(set(map(id, order))) == COUNT


@in_loop
async def test_everybody_has_a_turn_before_others_have_a_third(natives: Bench) -> None:
    """Where all ask again at once, a turn that cannot serve all begins where the last one ended."""
    order: list[End] = []
    ends = slow(natives, order)
    for end in ends:
        answer = end.handler.act

        def ask_again(what: tuple[object, ...], end: End = end, answer: Callable[..., object] = answer) -> None:
            answer(what)
            end.peer.send(text("message", masked=True))

        end.handler.act = ask_again
        end.peer.send(text("message", masked=True))
    while len(set(map(id, order))) < COUNT:
        await asyncio.sleep(0)
    assert len(order) <= 3 * COUNT
