"""Putting what was measured into the marked parts of docs/scaling.md: `<!-- measured: NAME -->` to `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.report import table
from benchmarks.scaling.arithmetic import (
    APPLICATIONS,
    CONNECTIONS,
    HEADROOM,
    MEMORY_OF_NODE,
    RETURN_WITHIN,
    Costs,
    Plan,
    plan,
    seconds_of_storm,
)
from benchmarks.scaling.fanout import SUBSCRIBERS, Fanout
from benchmarks.scaling.memory import Memory
from benchmarks.scaling.storms import Resumed, Spread
from benchmarks.scaling.traffic import Quiet, Traffic

TOPIC_OF_V1 = "speaks `wsmash.v1`, subscribed to a topic of its own"
KIB, GIB = 2**10, 2**30


class Found(NamedTuple):
    """All that was measured.

    Attributes:
        machine: what the numbers depend on, and the load while they were taken.
        memory, fanout, traffic, quiet, resumed, spread: see there.
    """

    machine: str
    memory: Memory
    fanout: Sequence[Fanout]
    traffic: Sequence[Traffic]
    quiet: Sequence[Quiet]
    resumed: Sequence[Resumed]
    spread: Spread


def written(text: str, parts: Mapping[str, str]) -> str:
    """The page with each part in its place.

    Raises:
        ValueError: a part has no place, or a place no part.
    """
    places = re.findall(r"<!-- measured: (\w+) -->", text)
    if sorted(places) != sorted(parts):
        raise ValueError(f"the page has places for {sorted(places)}, and there are {sorted(parts)}")
    for name, part in parts.items():
        mark = f"<!-- measured: {name} -->"
        before, _, rest = text.partition(mark)
        text = f"{before}{mark}\n\n{part}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def parts_of(found: Found) -> dict[str, str]:
    """Each marked part."""
    costs = {each.broker: _costs(found, each) for each in found.traffic if each.history}
    return {
        "machine": found.machine,
        "memory": _memory(found.memory),
        "fanout": _fanout(found.fanout),
        "traffic": _traffic(found.traffic),
        "quiet": _quiet(found.quiet),
        "storm": _storm(found.resumed, found.spread),
        "million": _million(costs),
        "ends": _ends(found, costs),
    }


def _costs(found: Found, kept: Traffic) -> Costs:
    quiet = next(each for each in found.quiet if each.broker == kept.broker)
    delivery = next(each for each in found.fanout if "wsmash.v1" in each.name).us
    resumed = [each for each in found.resumed if each.broker == kept.broker]
    resume = max(each.node_us for each in resumed)
    follow = max(each.broker_us for each in resumed)  # where each has a topic of its own
    return Costs(
        found.memory.of(TOPIC_OF_V1) + found.memory.system, delivery, kept.receive_us, kept.publish_us,
        kept.broker_us, kept.push_us, quiet.check_us, kept.pushed, resume, follow,
    )  # fmt: skip


def many(value: float) -> str:
    """A number with two or three digits that say something."""
    if value >= 1000:
        digits = 10 ** max(0, len(str(int(value))) - 3)
        return f"{round(value / digits) * digits:,}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _memory(found: Memory) -> str:
    rows = [[name, f"{size / KIB:.1f} KiB", _gib(size * CONNECTIONS)] for name, size in found.states]
    rows.append(["Linux's own, for each", f"{found.system / KIB:.1f} KiB", _gib(found.system * CONNECTIONS)])
    return table(["a connection that is", "holds", f"{CONNECTIONS:,} of them"], rows)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


def _fanout(found: Sequence[Fanout]) -> str:
    rows = [[each.name, many(each.per_s), many(each.us), many(1e6 / each.us)] for each in found]
    heads = [f"to {SUBSCRIBERS:,} subscribers", "deliveries/s here", "µs of the nodes for each", "so a core makes"]
    return table(heads, rows)


def _traffic(found: Sequence[Traffic]) -> str:
    heads = ["", *(f"{each.broker}, {'with a history' if each.history else 'without'}" for each in found)]
    lines: dict[str, Callable[[Traffic], str]] = {
        "publications/s of one node here, 64 under way": lambda each: many(each.per_s),
        "the same, each awaited": lambda each: many(each.alone_per_s),
        "µs of the publishing node": lambda each: many(each.publish_us),
        "µs of the broker for a publication": lambda each: many(each.broker_us),
        "and for each node that follows": lambda each: many(each.push_us),
        "µs of such a node, one delivery among it": lambda each: many(each.receive_us),
        "bytes to the broker, and back": lambda each: f"{each.up:.0f}, {each.down:.0f}",
        "bytes to each node that follows": lambda each: f"{each.pushed:.0f}",
        "so a broker's core takes publications/s for 1 node": lambda each: many(_most(each, 1)),
        "for 10 nodes": lambda each: many(_most(each, 10)),
        "for 100 nodes": lambda each: many(_most(each, 100)),
        "and a node's core takes pushes/s": lambda each: many(1e6 / each.receive_us),
    }
    return table(heads, [[name, *(of(each) for each in found)] for name, of in lines.items()])


def _most(each: Traffic, nodes: int) -> float:
    """Publications a second that fill one core of the broker."""
    return 1e6 / (each.broker_us + nodes * each.push_us)


def _quiet(found: Sequence[Quiet]) -> str:
    heads = ["", *(each.broker for each in found)]
    lines: dict[str, Callable[[Quiet], str]] = {
        "a node that asks whether the broker is there: bytes/s to it, and back": lambda each: (
            f"{each.up:.0f}, {each.down:.0f}"
        ),
        "a beat, every 5 s from each node with presence to each: bytes": lambda each: f"{each.beat:.0f}",
        "a join or a leave, to each node: bytes": lambda each: f"{each.join:.0f}",
        "a look at a quiet topic with a history: bytes, there and back": lambda each: f"{each.check_bytes:.0f}",
        "µs of the broker": lambda each: many(each.check_us),
        "µs of the node": lambda each: many(each.check_node_us),
        "so as many quiet topics fill a broker's core": lambda each: many(30e6 / each.check_us),
        "bytes/s that a node of 100 receives of beats": lambda each: many(each.beat * 100 / 5),
    }
    return table(heads, [[name, *(of(each) for each in found)] for name, of in lines.items()])


def _storm(found: Sequence[Resumed], spread: Spread) -> str:
    heads = ["broker", "clients", "topics", "missed by each", "half had all after", "the last", "dropped, and again",
             "µs of the node for each", "of the broker", "what it was asked"]  # fmt: skip
    rows = [
        [each.broker, f"{each.clients:,}", f"{each.topics:,}", str(each.missed), f"{each.middle:.2f} s",
         f"{each.seconds:.2f} s", str(each.again), many(each.node_us), many(each.broker_us),
         ", ".join(f"{number:,} {what}" for what, number in each.asked.items())]
        for each in found
    ]  # fmt: skip
    spread_out = (
        f"Spread by `reconnect=True`: of {spread.clients:,} clients of this package that lost their server at once, "
        f"{spread.most} came back within the {spread.window:g} s that had most, where an even spread over the "
        f"{spread.first_delay:g} s of the first retries has {spread.even:.0f}; the last one was back after "
        f"{spread.last:.1f} s, and {spread.missing} messages were lost without a report."
    )
    worst = max(found, key=lambda each: each.node_us)
    resumes = 1e6 / worst.node_us
    arithmetic = (
        f"A core takes {many(resumes)} clients a second back at the dearest of these. With half of it spent on that, "
        f"10,000 clients of a node that ended take one other node {seconds_of_storm(10_000, worst.node_us):.1f} s, and "
        f"{seconds_of_storm(10_000, worst.node_us) / 10:.1f} s where they spread over ten; 100,000 that come to a node "
        f"at once, {seconds_of_storm(100_000, worst.node_us):.0f} s. Where that is above 5 s, let clients spread over "
        "as much: `Reconnect(first_delay=...)`."
    )
    return "\n\n".join([table(heads, rows), spread_out, arithmetic])


def _million(costs: Mapping[str, Costs]) -> str:
    heads = ["application", "broker", "deliveries/s", "nodes", "because of", "nodes of a topic", "pushes/s", "looks/s",
             "of a broker's core", "it sends", "its seconds of a core when all come back"]  # fmt: skip
    rows = [_planned(name, plan(application, each)) for application in APPLICATIONS for name, each in costs.items()]
    said = (
        f"A node is one process on one core, of which {HEADROOM:.0%} is planned for, with {MEMORY_OF_NODE // GIB} GiB. "
        "There are as many as the most of three ask for: the memory of all connections, the time for all deliveries, "
        f"and the return of all clients within {RETURN_WITHIN:.0f} s, where a site was lost as a whole (with "
        "`Reconnect(first_delay=60)`). Messages have 128 bytes; a connection speaks `wsmash.v1` and has one topic."
    )
    return "\n\n".join([said, table(heads, rows)])


def _planned(broker: str, found: Plan) -> list[str]:
    return [
        found.application.name, broker, many(found.deliveries), str(found.nodes), found.for_what, f"{found.spread:.1f}",
        many(found.pushes), many(found.checks), f"{found.broker_share:.0%}",
        f"{found.broker_bytes / 1e6:.1f} MB/s",
        f"{'' if found.application.has_history else 'less than '}{many(found.return_s)}",
    ]  # fmt: skip


def _ends(found: Found, costs: Mapping[str, Costs]) -> str:
    lines = []
    for name, each in costs.items():
        kept = next(one for one in found.traffic if one.broker == name and one.history)
        lines.append(
            f"* **{name}**: {many(_most(kept, 1) * HEADROOM)} publications a second on topics of one node each, "
            f"{many(_most(kept, 100) * HEADROOM)} on such as 100 nodes follow, or looks at "
            f"{many(30e6 / each.check_us * HEADROOM)} quiet topics with a history, counted once for each node that "
            "follows them: each of these by itself is half of a core."
        )
    return "\n".join(lines)
