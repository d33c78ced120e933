"""A program: run the scenario with each system call failing in turn, and print as JSON how often, and what went wrong.

`sweep.py KIND MOST`: MOST calls of a kind are tried with each error, spread over all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from errno import (
    EAGAIN,
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ENOSPC,
    ENOTCONN,
    EPIPE,
    EPROTO,
)
from typing import Any

import wsmash
from faults.scenario import Account, Scenario, Talk
from faults.shim import SHORT, Shim, named
from fixtures.certificates import contexts
from wsmash import arrivals

HARMLESS: dict[str, tuple[int, ...]] = {
    "recv": (EINTR, EAGAIN, SHORT),
    "send": (EINTR, EAGAIN, SHORT),
    "accept": (EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO),
    "epoll_wait": (EINTR, ENOMEM, SHORT),
    "getpeername": (ENOTCONN, ENOBUFS),
    "setsockopt": (ENOBUFS, ENOMEM),
    "connect": (EINTR,),
}
"""Nobody notices."""

HARD: dict[str, tuple[int, ...]] = {
    "recv": (ECONNRESET, ENOMEM, ENOBUFS),
    "send": (EPIPE, ECONNRESET, ENOBUFS),
    "epoll_ctl": (ENOMEM, ENOSPC),
    "shutdown": (ENOTCONN, ENOBUFS),
    "connect": (ECONNREFUSED, ENOBUFS, EMFILE),
}
"""One connection ends."""

arrivals.ACCEPT_PAUSE = 0.01


def kinds() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Options of server and client."""
    return {
        "plain": ({}, {}),
        "deflate": ({"compression": "deflate"}, {"compression": "deflate"}),
        "tls": ({"ssl": contexts().server}, {"ssl": contexts().client}),
    }


def spread(count: int, most: int) -> Iterator[int]:
    """Numbers from 1 to `count`: all, or `most` of them, the first half of these in a row."""
    if count <= most:
        yield from range(1, count + 1)
        return
    yield from range(1, most // 2 + 1)
    left, rest = most - most // 2, count - most // 2
    yield from (most // 2 + rest * (at + 1) // left for at in range(left))


def is_prefix(part: list[Any], whole: list[Any]) -> bool:
    return part == whole[: len(part)]


def ended_alone(got: Talk, wanted: Talk) -> bool:
    """What a connection may be that was hit: everything up to some point, and then an end."""
    return (
        is_prefix(got.heard, wanted.heard)
        and is_prefix(got.told, wanted.told)
        and got.closed in (1000, 1006)
        and got.left in (None, 1000, 1006)
    )


def judge(account: Account, wanted: Account, shim: Shim, *, hard: bool) -> list[str]:
    """What is not as it must be."""
    faults = []
    if account.escaped:
        faults.append(f"escaped into the loop: {account.escaped}")
    if account.hung:
        faults.append(f"hung: {account.hung}")
    if account.tasks or account.descriptors:
        faults.append(f"left: {account.tasks}, {account.descriptors} descriptors")
    if len(account.logged) > 1:
        faults.append(f"logged: {account.logged}")
    hit = []
    for number, (got, had) in enumerate(zip(account.talks, wanted.talks, strict=True)):
        same = Talk(got.port, had.heard, had.told, had.closed, had.left, had.error) == got
        if same:
            continue
        hit.append(number)
        if not hard:
            faults.append(f"client {number} noticed: {brief(got)}")
        elif not ended_alone(got, had):
            faults.append(f"client {number} ended badly: {brief(got)}")
        elif got.port is not None and shim.ports and got.port not in shim.ports:
            faults.append(f"client {number} was not hit, but {shim.ports}: {brief(got)}")
    if len(hit) > 1:
        faults.append(f"several were hit: {hit}")
    return faults


def brief(talk: Talk) -> str:
    return (
        f"heard {len(talk.heard)}, told {len(talk.told)}, closed {talk.closed}, left {talk.left}, error {talk.error}"
    )


def main(kind: str, most: int) -> None:
    """Count, then let each fail."""
    shim = Shim()
    plan: list[tuple[str, int, int]] = []

    def begun() -> None:
        shim.begin()
        for each in plan:
            shim.arm(*each)

    server, client = kinds()[kind]
    scenario = Scenario(server, client, begun, shim.end)
    wanted = scenario.run()
    counts = {call: shim.count(call) for call in {*HARMLESS, *HARD}}
    faults = judge(wanted, wanted, shim, hard=False)
    tried = 0
    for table, hard in ((HARMLESS, False), (HARD, True)):
        for call, errors in table.items():
            for error in errors:
                for nth in spread(counts[call], most):
                    plan[:] = [(call, nth, error)]
                    account = scenario.run()
                    tried += shim.hits
                    what = f"{call} {nth} of {counts[call]}: {named(error)}"
                    faults += [f"{what}: {each}" for each in judge(account, wanted, shim, hard=hard)]
    print(json.dumps({"engine": wsmash.engine().name, "tried": tried, "counts": counts, "faults": faults}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
