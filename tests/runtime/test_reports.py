"""The records of what peers bring about: bounded in number, each level by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fixtures.clock import elapse, virtual
from fixtures.ends import make_owner, open_server_end
from wsmash.options import ServerOptions
from wsmash.runtime.deadlines import Wheel
from wsmash.runtime.reports import RECORDS_PER_SECOND, Reports
from wsmash.sansio.violations import Violation

pytestmark = pytest.mark.case(105)


def said(caplog: pytest.LogCaptureFixture, level: int = logging.DEBUG) -> list[str]:
    """What was logged at this level or above."""
    return [each.getMessage() for each in caplog.records if each.levelno >= level]


def new_reports() -> tuple[Reports, Wheel]:
    """Those of the running loop."""
    wheel = Wheel(asyncio.get_running_loop())
    return Reports(wheel), wheel


@virtual
async def test_a_storm(caplog: pytest.LogCaptureFixture) -> None:
    """So many are written, and one line a second later says how many were not."""
    reports, wheel = new_reports()
    for number in range(100_000):
        reports.log(logging.WARNING, "fault %d", number)
    assert len(caplog.records) == RECORDS_PER_SECOND and len(wheel) == 1
    await elapse(1.1)
    assert len(caplog.records) == RECORDS_PER_SECOND + 1
    assert said(caplog)[-1] == f"{100_000 - RECORDS_PER_SECOND} more records like the last ones are left out"
    assert caplog.records[-1].levelno == logging.WARNING and len(wheel) == 0
    reports.log(logging.WARNING, "later")
    assert said(caplog)[-1] == "later"


@virtual
async def test_levels_are_apart(caplog: pytest.LogCaptureFixture) -> None:
    """A storm of one level hides nothing of another."""
    reports, _ = new_reports()
    for _ in range(1000):
        reports.log(logging.WARNING, "fault")
    error = ValueError("x")
    reports.log(logging.ERROR, "failure of %s", "a", error=error)
    assert said(caplog, logging.ERROR) == ["failure of a"]
    assert caplog.records[-1].exc_info is not None and caplog.records[-1].exc_info[1] is error


@virtual
async def test_what_is_not_logged_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A level that nobody listens to has no last line either."""
    caplog.set_level(logging.WARNING, "wsmash")
    reports, wheel = new_reports()
    for _ in range(1000):
        reports.log(logging.DEBUG, "fault")
    assert len(wheel) == 0 and caplog.records == []


@virtual
async def test_the_last_line_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing more will come, it is not waited for."""
    reports, wheel = new_reports()
    for _ in range(RECORDS_PER_SECOND + 5):
        reports.log(logging.WARNING, "fault")
    reports.flush()
    reports.flush()
    assert said(caplog)[-1].startswith("5 more") and len(wheel) == 0
    assert len(caplog.records) == RECORDS_PER_SECOND + 1


@virtual
async def test_connections_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """A record for each connection that fails, and no more than so many for all of a server."""
    caplog.set_level(logging.INFO, "wsmash")
    owner = make_owner(ServerOptions())
    for _ in range(50):
        connection, channel = open_server_end(owner=owner)
        connection.violated(Violation.RESERVED_OPCODE)
        connection.violated(Violation.RESERVED_OPCODE)
        channel.lose()
    await elapse(1.1)
    assert len(caplog.records) == RECORDS_PER_SECOND + 1
    assert all("failed" in each for each in said(caplog)[:-1])
