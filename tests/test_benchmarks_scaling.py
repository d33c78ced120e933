"""What the benchmark of scaling makes of what it finds. Nothing is measured here."""

from __future__ import annotations

import pytest

from benchmarks.scaling.arithmetic import (
    APPLICATIONS,
    CONNECTIONS,
    HEADROOM,
    MEMORY_OF_NODE,
    Application,
    Costs,
    nodes_of_topic,
    plan,
    seconds_of_storm,
)
from benchmarks.scaling.fanout import Fanout
from benchmarks.scaling.memory import STATES, Memory
from benchmarks.scaling.page import Found, many, parts_of, written
from benchmarks.scaling.storms import Resumed, Spread
from benchmarks.scaling.traffic import Quiet, Traffic
from documents import ROOT

COSTS = Costs(
    connection=8192, delivery_us=5, receive_us=15, publish_us=30, broker_us=20, push_us=1, check_us=10, pushed=200,
    resume_us=200, follow_us=50,
)  # fmt: skip
TICKER = Application("all hear all", CONNECTIONS, 1, 1, has_history=True)
QUIET = Application("nothing happens", 1, CONNECTIONS, 0, has_history=True)


BROKERS = ("Redis", "NATS")


def found() -> Found:
    """A run whose numbers are made up."""
    costs = (20_000, 4000, 30, 20, 1, 15, 400, 60, 220)
    return Found(
        "some machine",
        Memory([(name, 4096) for name in STATES], 3500),
        [Fanout("plain", 100_000, 5), Fanout("wsmash.v1", 100_000, 5)],
        [Traffic(name, kept, *costs) for name in BROKERS for kept in (0, 9)],
        [Quiet(name, 18, 250, 80, 130, 10, 20, 350) for name in BROKERS],
        [Resumed(name, 1, 1000, 20, 0.5, 0.4, 0, 400, 2, {"histories read": 4}) for name in BROKERS],
        Spread(1000, 5.0, 0.5, 120, 100.0, 4.9, 0),
    )  # fmt: skip


def test_a_topic_of_one_is_on_one_node() -> None:
    """And one with many subscribers on all."""
    assert nodes_of_topic(10, 1) == pytest.approx(1)
    assert nodes_of_topic(10, 10_000) == pytest.approx(10)
    assert nodes_of_topic(1, 5) == 1


def test_nodes_are_for_what_asks_for_most() -> None:
    """A ticker for its deliveries, quiet clients for their return, large ones for the memory."""
    ticker = plan(TICKER, COSTS)
    assert (ticker.for_what, ticker.deliveries) == ("deliveries", CONNECTIONS)
    assert ticker.nodes == pytest.approx(CONNECTIONS * COSTS.delivery_us / 1e6 / HEADROOM, abs=2)
    assert plan(QUIET, COSTS).for_what == "return"
    large = plan(QUIET, COSTS._replace(connection=MEMORY_OF_NODE / 1000))
    assert (large.for_what, large.nodes) == ("memory", 1000)


def test_quiet_topics_cost_the_broker_looks() -> None:
    """With a history alone."""
    assert plan(QUIET, COSTS).checks == pytest.approx(CONNECTIONS / 30)
    assert plan(QUIET, COSTS).broker_share == pytest.approx(CONNECTIONS / 30 * COSTS.check_us / 1e6)
    assert plan(QUIET._replace(has_history=False), COSTS).broker_share == 0


def test_who_comes_back_to_many_topics_has_the_broker_work() -> None:
    """Each node follows each of its topics again: one for all is nothing."""
    assert plan(QUIET, COSTS).return_s == pytest.approx(CONNECTIONS * COSTS.follow_us / 1e6)
    assert plan(TICKER, COSTS).return_s < 0.01


def test_a_storm_takes_its_time() -> None:
    """Of the part of a core that is planned for."""
    assert seconds_of_storm(1000, 500) == pytest.approx(0.5 / HEADROOM)


def test_the_page_has_a_place_for_each_part() -> None:
    """And none that nothing is written to; what stands around them stays."""
    text = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    once = written(text, parts_of(found()))
    assert once == written(once, parts_of(found()))
    assert "some machine" in once and once.count("<!-- end -->") == text.count("<!-- end -->")
    assert all(application.name in once for application in APPLICATIONS)
    with pytest.raises(ValueError, match="places for"):
        written("<!-- measured: nothing -->\n<!-- end -->", parts_of(found()))


def test_numbers_for_readers() -> None:
    """With as many digits as say something."""
    assert [many(each) for each in (1234567.0, 46_012.0, 999.6, 123.4, 12.345, 0.834)] == [
        "1,230,000", "46,000", "1000", "123", "12", "0.83",
    ]  # fmt: skip
