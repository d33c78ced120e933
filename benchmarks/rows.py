"""The rows of the benchmark as data: the work, who does it, and the target."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.ratios import Target

SECONDS = "{seconds}"
"""Stands in a load's arguments for how long it takes."""

ITSELF = "itself"
"""The peer of a row that compares two ways of using the product: its own plain callback."""

KIB = 1024


class Measure(NamedTuple):
    """A number that a load reports: its name there, its unit, whether more of it is better, and what divides it."""

    name: str
    unit: str
    more_is_better: bool = True
    scale: float = 1


MESSAGES = Measure("msg_per_s", "messages/s")
LATENCY = Measure("p50_us", "µs, median", more_is_better=False)
TRIPS = Measure("trips_per_s", "round trips/s")
DELIVERIES = Measure("deliveries_per_s", "deliveries/s")
OPENED = Measure("opened_per_s", "connections/s")
MEMORY = Measure("bytes_per_connection", "KiB a connection", more_is_better=False, scale=KIB)
SHRUNK = Measure("shrunk_to", "of the plain size", more_is_better=False)


class Load(NamedTuple):
    """A program that puts a peer to work, and its arguments after the address."""

    program: str
    arguments: tuple[str, ...]


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: what `--rows` calls it.
        title: what the table calls it.
        measure: what is quoted.
        load: what puts a server to work, or with "client" what a client is to do.
        targets: what is wanted; their peers take part in every round.
        work: what our server is told to do.
        peers_work: what the others are.
        tls: whether it runs over TLS.
    """

    name: str
    title: str
    measure: Measure
    load: Load
    targets: tuple[Target, ...]
    work: str = "echo"
    peers_work: str = "echo"
    tls: bool = False

    @property
    def peers(self) -> tuple[str, ...]:
        """Whom the row's own comparison is with."""
        return tuple(dict.fromkeys(target.against for target in self.targets if target.against))


def wsload(connections: int, size: int, depth: int, kind: str = "binary") -> Load:
    return Load("wsload", (str(connections), str(size), str(depth), SECONDS, kind))


def holder(connections: int, size: int) -> Load:
    return Load("holder", (str(connections), str(size)))


def at_least(measure: Measure, **bounds: float) -> tuple[Target, ...]:
    """So many times the peer's, for each peer."""
    return tuple(Target(measure.name, bound, peer) for peer, bound in bounds.items())


def at_most(measure: Measure, **bounds: float) -> tuple[Target, ...]:
    """So many times the peer's and no more, for each peer."""
    return tuple(Target(measure.name, bound, peer, at_most=True) for peer, bound in bounds.items())


def no_more_than(kib: float) -> tuple[Target, ...]:
    """A bound in KiB for a connection, whatever the peers take."""
    return (Target(MEMORY.name, kib * KIB, at_most=True),)


SMALL = "100 connections, 32 B, 1 in flight"
MANY = "100 connections, 1 KiB, 16 in flight"
LARGE = "10 connections, 64 KiB, 2 in flight"

ROWS = (
    *(
        Row(f"echo-32-{kind}", f"echo, {SMALL}, {kind}", MESSAGES, wsload(100, 32, 1, kind),
            at_least(MESSAGES, picows=1.2, floor=0.9))
        for kind in ("text", "binary")
    ),
    *(
        Row(f"echo-1k-{kind}", f"echo, {MANY}, {kind}", MESSAGES, wsload(100, KIB, 16, kind),
            at_least(MESSAGES, picows=5, floor=0.75))
        for kind in ("text", "binary")
    ),
    Row("echo-64k", f"echo, {LARGE}", MESSAGES, wsload(10, 64 * KIB, 2), at_least(MESSAGES, picows=1.1)),
    Row("echo-one", "echo, 1 connection, 32 B", LATENCY, wsload(1, 32, 1), at_most(LATENCY, picows=1.05)),
    Row("echo-9000", "echo, 9000 connections, 32 B, 1 in flight", MESSAGES, wsload(9000, 32, 1),
        at_least(MESSAGES, picows=1.3)),
    Row("tls-32", f"echo over TLS, {SMALL}", MESSAGES, wsload(100, 32, 1), at_least(MESSAGES, picows=1.15), tls=True),
    Row("tls-1k", f"echo over TLS, {MANY}", MESSAGES, wsload(100, KIB, 16), at_least(MESSAGES, picows=3.5), tls=True),
    Row("tls-64k", f"echo over TLS, {LARGE}", MESSAGES, wsload(10, 64 * KIB, 2), at_least(MESSAGES, picows=0.95),
        tls=True),
    Row("tls-one", "echo over TLS, 1 connection, 32 B", LATENCY, wsload(1, 32, 1), at_most(LATENCY, picows=1.2),
        tls=True),
    Row("client-256", "client, 1 connection, 256 B there and back", TRIPS, Load("client", ("256", SECONDS)),
        at_least(TRIPS, picows=1.0)),
    Row("client-64k", "client, 1 connection, 64 KiB there and back", TRIPS, Load("client", (str(64 * KIB), SECONDS)),
        at_least(TRIPS, picows=1.0)),
    Row("fan-out", "fan-out to 1000 connections, 128 B, 8 in flight", DELIVERIES,
        Load("wsfan", ("1000", "128", "8", SECONDS)), at_least(DELIVERIES, websockets=8), "broadcast", "broadcast"),
    Row("open", "new connections, 32 at a time, until the 101", OPENED, Load("wsopen", ("32", SECONDS)),
        at_least(OPENED, picows=1.0)),
    Row("deflate", "compressed echo, 20 connections, 1-2 KiB of JSON, 4 in flight", MESSAGES,
        Load("wsdeflate", ("20", "4", SECONDS)), (*at_least(MESSAGES, websockets=3), *at_most(SHRUNK, websockets=1.1)),
        "deflate", "deflate"),
    Row("coroutine", f"echo by coroutine callbacks, {MANY}", MESSAGES, wsload(100, KIB, 16),
        at_least(MESSAGES, itself=0.7), "coroutine"),
    Row("iterate", f"echo by `async for`, {MANY}", MESSAGES, wsload(100, KIB, 16),
        at_least(MESSAGES, itself=0.7), "iterate"),
    Row("memory", "memory of an idle connection, after an echo of 32 B", MEMORY, holder(4000, 32), no_more_than(3)),
    Row("memory-tls", "memory of an idle connection over TLS, after an echo of 32 B", MEMORY, holder(2000, 32),
        no_more_than(28), tls=True),
    Row("memory-tls-256k", "memory of an idle connection over TLS, after an echo of 256 KiB", MEMORY,
        holder(2000, 256 * KIB), no_more_than(28), tls=True),
)

MEASURES = {each.name: each for each in (MESSAGES, LATENCY, TRIPS, DELIVERIES, OPENED, MEMORY, SHRUNK)}
