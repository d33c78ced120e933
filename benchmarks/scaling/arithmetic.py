"""From what was measured to a million connections. Nothing is measured here."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

CONNECTIONS = 1_000_000
HEADROOM = 0.5
"""How much of a core is planned for: the rest is for bursts, for what the application does, and for a node's loss."""

MEMORY_OF_NODE = 4 * 2**30
"""Bytes that one node may have."""

RETURN_WITHIN = 60.0
"""Seconds in which all clients may be back, where all nodes were replaced at once, or a site was lost."""

CHECK_INTERVAL = 30.0
"""Seconds between two looks at a quiet topic."""


class Costs(NamedTuple):
    """What one machine has shown.

    Attributes:
        connection: bytes of a connection that speaks `wsmash.v1` and has a topic, the system's share among them.
        delivery_us: of a node, for each.
        receive_us: of a node, for each push, one delivery among it.
        publish_us: of a node, for each publication.
        broker_us: of the broker, for each.
        push_us: of the broker, for each push to a node.
        check_us: of the broker, for each look at a quiet topic.
        pushed: bytes of a push, of a message of 128 bytes.
        resume_us: of a node, for each client that comes back.
        follow_us: of the broker, for each topic that a node follows again and reads what was missed of.
    """

    connection: float
    delivery_us: float
    receive_us: float
    publish_us: float
    broker_us: float
    push_us: float
    check_us: float
    pushed: float
    resume_us: float
    follow_us: float


class Application(NamedTuple):
    """What clients do.

    Attributes:
        name: what it is like.
        subscribers: of each topic.
        topics: how many there are.
        published: messages a second, on all topics together.
        has_history: whether topics have one.
    """

    name: str
    subscribers: int
    topics: int
    published: float
    has_history: bool


class Plan(NamedTuple):
    """What it takes.

    Attributes:
        application: what for.
        deliveries: a second.
        nodes: processes, of a core each.
        for_what: what asks for so many.
        spread: nodes that have a subscriber of a topic, on average.
        pushes: a second, to all nodes.
        checks: looks at quiet topics a second.
        broker_share: of one core of the broker's.
        broker_bytes: a second that the broker sends.
        return_s: seconds of the broker's core until all nodes follow all again.
    """

    application: Application
    deliveries: float
    nodes: int
    for_what: str
    spread: float
    pushes: float
    checks: float
    broker_share: float
    broker_bytes: float
    return_s: float


APPLICATIONS = (
    Application("a ticker: one topic for all, 1 message a second", CONNECTIONS, 1, 1, True),
    Application("rooms of 50, each with a message every 10 s", 50, CONNECTIONS // 50, CONNECTIONS / 50 / 10, True),
    Application("a topic for each user, a message each every 10 min", 1, CONNECTIONS, CONNECTIONS / 600, True),
    Application("the same without histories", 1, CONNECTIONS, CONNECTIONS / 600, False),
)


def nodes_of_topic(nodes: int, subscribers: int) -> float:
    """Nodes that have at least one subscriber of a topic, where each chooses its node at random."""
    return nodes * (1 - (1 - 1 / nodes) ** subscribers)


def plan(application: Application, costs: Costs) -> Plan:
    """Nodes for the memory, the deliveries and the return of all, and the broker's share of a core."""
    reasons = {
        "memory": ceil(CONNECTIONS * costs.connection / MEMORY_OF_NODE),
        "return": ceil(seconds_of_storm(CONNECTIONS, costs.resume_us) / RETURN_WITHIN),
        "deliveries": _for_time(application, costs),
    }
    for_what = max(reasons, key=lambda reason: reasons[reason])
    nodes = reasons[for_what]
    spread = nodes_of_topic(nodes, application.subscribers)
    pushes = application.published * spread
    checks = application.topics * spread / CHECK_INTERVAL if application.has_history else 0.0
    work = application.published * costs.broker_us + pushes * costs.push_us + checks * costs.check_us
    return Plan(
        application, application.published * application.subscribers, nodes, for_what, spread, pushes, checks,
        work / 1e6, pushes * costs.pushed, application.topics * spread * costs.follow_us / 1e6,
    )  # fmt: skip


def _for_time(application: Application, costs: Costs) -> int:
    nodes = 1
    while _share(application, costs, nodes) > HEADROOM:
        nodes += 1
    return nodes


def _share(application: Application, costs: Costs, nodes: int) -> float:
    """Of a node's core."""
    published = application.published * costs.publish_us
    pushed = application.published * nodes_of_topic(nodes, application.subscribers) * costs.receive_us
    delivered = application.published * application.subscribers * costs.delivery_us
    return (published + pushed + delivered) / nodes / 1e6


def seconds_of_storm(clients: float, resume_us: float) -> float:
    """Seconds that a node's core needs for clients that resume, at the headroom that is planned for."""
    return clients * resume_us / 1e6 / HEADROOM
