"""What all tests share: the run's last lines repeat each skipped test with its reason."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["fixtures.attempts", "fixtures.brokers", "fixtures.codec", "fixtures.sites"]

# For `make mutants`, which runs a test many times in one process, and must find the same each time.
settings.register_profile(
    "mutants",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.differing_executors],
)


def pytest_configure() -> None:
    """Let the programs that tests start hear of SIGINT, though a shell in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write one line for each reason to skip, with how many tests it took, so that none goes unseen."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("skipped")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count} skipped: {reason}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
