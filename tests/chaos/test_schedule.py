"""The faults of a run: the same for a seed, of each kind, and never two at a time on one program."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest

from chaos.schedule import KINDS, Planned, plan

LONG = {"pace": 3.0, "longest": 8.0}


@pytest.mark.parametrize("broker", ["redis", "nats"])
def test_each_kind(broker: str) -> None:
    """A long run has each kind that the broker has, as often as it should within one."""
    times: defaultdict[str, int] = defaultdict(int)
    for fault in plan(1, 600, broker, **LONG):
        times[fault.kind] += 1
    expected = {kind.name: kind.times for kind in KINDS if broker in kind.brokers}
    assert set(times) == set(expected)
    most = max(times[name] / each for name, each in expected.items())
    assert most - min(times[name] / each for name, each in expected.items()) <= 2


def test_a_seed_says_it_all() -> None:
    """The same seed gives the same faults, another one others."""
    assert plan(7, 60, "redis", **LONG) == plan(7, 60, "redis", **LONG) != plan(8, 60, "redis", **LONG)


def test_one_at_a_time() -> None:
    """A program is left in peace for a second after a fault, and the run is over when all faults are."""
    by_target: defaultdict[str, list[Planned]] = defaultdict(list)
    for fault in plan(2, 600, "redis", **LONG):
        assert 0 <= fault.seconds <= 8 and fault.at + fault.seconds <= 600
        by_target[fault.target].append(fault)
    assert set(by_target) == {"n1", "n2", "n3", "s1", "s2", "s3", "p1", "p2", "broker"}
    for faults in by_target.values():
        assert all(one.at + one.seconds + 0.9 < other.at for one, other in pairwise(faults))
