"""The page about topics: three tables, and whether what is wanted was reached."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.ratios import MOST_SPREAD, OURS, Measured, Target, judge
from benchmarks.report import table
from benchmarks.topics.runs import NODES, SIZE, SUBSCRIBERS, Work

EMBEDDED = "broadcast"
PEER = "python-socketio"

OF_EMBEDDED = Target("cpu_us", 1.1, EMBEDDED, at_most=True)
OF_SHARED = Target("deliveries_per_s", 5, PEER)


ROUNDS = """
Each number is the median of {rounds} rounds, in which the candidates run one after another, and each round turns their
order round. A ratio is that of two candidates in the same round; the spread is (largest - smallest) / median. Where the
wanted ratio spreads by more than {spread:.0%} it is measured again, twice at most, and the attempt shown whose rounds
agree best; what still spreads more is not to be quoted.
"""

ALONE = """
A server sends what one connection says to all 1000, 128 bytes at a time with 8 under way, by `publish` on a topic to
which all are subscribed, or by `broadcast`. It has a core of its own.
"""

SHARED = """
{nodes} node processes with {subscribers} subscribers each share a Redis server. One node publishes messages of {size}
bytes; the subscribers are raw sockets in one process, which counts what comes by a mark that stands in each message
once, so that it takes the same trouble for all candidates. Nodes, Redis and subscribers share the machine's cores.
python-socketio has its `AsyncRedisManager` and runs under uvicorn; its subscribers are in a room, and get its events.
Subscribers of `wsmash` get text, those of `wsmash.v1` envelopes; with history the last 100 messages are kept.
"""

EVEN = """
Processor time is that of the nodes. A delay is from the publication to the arrival at a subscriber, one of ten
connections; the last of 900 waits for the others, and for the process that reads them all.
"""


def document(alone: Measured, shared: Sequence[Measured], works: Sequence[Work], machine: str) -> str:
    """The whole page."""
    fast, even = shared
    parts = [
        "# Benchmarks of topics",
        "Written by `make bench-topics`.",
        machine,
        ROUNDS.format(rounds=len(alone.rounds), spread=MOST_SPREAD),
        "## In one process",
        ALONE,
        _embedded(alone),
        _verdict(alone, OF_EMBEDDED),
        "## Through Redis",
        SHARED.format(nodes=NODES, subscribers=SUBSCRIBERS, size=SIZE),
        f"### As fast as can be: {works[0].messages} messages, 64 under way",
        _fast(fast),
        _verdict(fast, OF_SHARED),
        f"### At an even rate: {works[1].rate:g} messages a second",
        EVEN,
        _even(even),
        *_failures((alone, *shared)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _embedded(alone: Measured) -> str:
    rows = [
        [by, _value(alone, name, "deliveries_per_s"), _ratio(alone, name, EMBEDDED), _value(alone, name, "cpu_us")]
        for by, name in (("publish", OURS), (EMBEDDED, EMBEDDED))
    ]
    return table(["by", "deliveries/s", f"÷ {EMBEDDED}", "µs of the server for each"], rows)


def _fast(found: Measured) -> str:
    heads = ["", "deliveries/s", f"÷ {PEER}", "µs of the nodes for each", "µs of Redis for each message"]
    return table(heads, [
        [name, _value(found, name, "deliveries_per_s"), _ratio(found, name, PEER), _value(found, name, "cpu_us"),
         _value(found, name, "redis_us")]
        for name in _names(found)
    ])  # fmt: skip


def _even(found: Measured) -> str:
    heads = ["", "deliveries/s", "µs of the nodes for each", "delay, median, ms", "delay, 99 %, ms"]
    names = ("deliveries_per_s", "cpu_us", "p50_ms", "p99_ms")
    return table(heads, [[name, *(_value(found, name, each) for each in names)] for name in _names(found)])


def _names(found: Measured) -> list[str]:
    """Those that have values, in one order."""
    return list(dict.fromkeys(sorted((name for each in found.rounds for name in each), key=_order)))


def _order(name: str) -> tuple[bool, str]:
    return name == PEER, name


def _value(found: Measured, name: str, measure: str) -> str:
    values = found.values(name, measure)
    if not values:
        return "failed"
    middle = median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"


def _ratio(found: Measured, name: str, peer: str) -> str:
    measure = "deliveries_per_s"
    both = [each[name][measure] / each[peer][measure] for each in found.rounds if name in each and peer in each]
    return f"{median(both):.2f}x" if both else "-"


def _verdict(found: Measured, target: Target) -> str:
    judged = judge(target, found)
    bound, what = ("at most", "processor time") if target.at_most else ("at least", "deliveries")
    wanted = f"Wanted: {bound} {target.bound:g} times the {what} of {target.against}."
    if not judged.values:
        return f"{wanted} Not measured: {judged.reason}."
    low, high = min(judged.values), max(judged.values)
    return (
        f"{wanted} Found: {judged.median:.2f} times "
        f"({len(judged.values)} rounds: {low:.2f} to {high:.2f}, spread {judged.spread:.0%}): {judged}."
    )


def _failures(found: Sequence[Measured]) -> list[str]:
    lines = [f"- {name}: {reason}" for each in found for name, reason in each.failures.items()]
    return ["\n".join(["Runs that failed:", "", *lines])] if lines else []
