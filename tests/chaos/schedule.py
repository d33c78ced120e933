"""Which faults a run has, and when: pure, so that a seed gives the same ones again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

NODES = ("n1", "n2", "n3")
SUBSCRIBERS = ("s1", "s2", "s3")
PUBLISHERS = ("p1", "p2")
BROKER = ("broker",)

RECOVERY = 1.0
"""Seconds after a fault's end in which the same program is left in peace."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: what is done.
        targets: to one of whom.
        longest: seconds that it lasts at most; drawn anew each time.
        times: how often it comes until each of the others has come as often as it should.
        brokers: where it can be done.
    """

    name: str
    targets: Sequence[str]
    longest: float
    times: int = 1
    brokers: Sequence[str] = ("redis", "nats")


KINDS = (
    Kind("kill subscriber", SUBSCRIBERS, 2, 3),
    Kind("pause subscriber", SUBSCRIBERS, 6, 2),
    Kind("kill publisher", PUBLISHERS, 1, 2),
    Kind("pause publisher", PUBLISHERS, 4, 1),
    Kind("kill node", NODES, 3, 3),
    Kind("pause node", NODES, 8, 2),
    Kind("stop node", NODES, 1, 2),
    Kind("deafen node", NODES, 1, 3),
    Kind("cut links", NODES, 0, 2),
    Kind("black hole", NODES, 8, 2),
    Kind("kill broker", BROKER, 4),
    Kind("pause broker", BROKER, 8),
    Kind("empty broker", BROKER, 2),
    Kind("fail over", BROKER, 1, 1, ("redis",)),
)


@dataclass(frozen=True)
class Planned:
    """A fault to come, so many seconds after the start, and lasting so long."""

    at: float
    kind: str
    target: str
    seconds: float


def plan(seed: int, seconds: float, broker: str, *, pace: float, longest: float) -> list[Planned]:
    """The faults of a run.

    Args:
        seed: of the draws.
        seconds: in which they begin and end.
        broker: "redis" or "nats".
        pace: seconds between two of them, on average; they overlap where they are on different targets.
        longest: seconds that any of them lasts.
    """
    random = Random(f"{seed} {broker}")
    bag: list[Kind] = []
    free = dict.fromkeys((*NODES, *SUBSCRIBERS, *PUBLISHERS, *BROKER), 0.0)
    found: list[Planned] = []
    at = 0.0
    while (at := at + random.uniform(0.5, 1.5) * pace) < seconds:
        if not bag:
            bag = [kind for kind in KINDS for _ in range(kind.times) if broker in kind.brokers]
            random.shuffle(bag)
        kind = next((each for each in bag if any(free[target] <= at for target in each.targets)), None)
        if kind is None:
            continue
        target = random.choice([each for each in kind.targets if free[each] <= at])
        lasts = round(random.uniform(0.1, 1) * min(kind.longest, longest, seconds - at), 2)
        bag.remove(kind)
        free[target] = at + lasts + RECOVERY
        found.append(Planned(round(at, 2), kind.name, target, lasts))
    return found
