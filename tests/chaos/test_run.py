"""The invariant run, for some seconds: no promise is broken, and where one is on purpose the run sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.sabotage import SABOTAGE
from fixtures.brokers import nats_program, redis_program

ROOT = Path(__file__).parents[2]

BROKEN = {
    "drop": "lost",
    "duplicate": "duplicate",
    "swap": "order",
    "forge": "two messages at an offset",
    "repeat": "two messages at an offset",
    "hide": "lost",
    "alter": "two messages at an offset",
}
"""What the checker is to say of each sabotage."""


class Run:
    """One in a process of its own, which has begun."""

    def __init__(self, folder: Path, broker: str, *arguments: str) -> None:
        path = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
        self._folder = folder / broker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.run", "--broker", broker, "--folder", str(folder), *arguments],
            env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def ended(self) -> tuple[int, str, dict[str, Any]]:
        """Its status, what it has written, and what it found."""
        output, _ = self._process.communicate(timeout=100)
        report = self._folder / "report.json"
        assert report.exists(), output
        return self._process.returncode, output, json.loads(report.read_text())

    def kill(self) -> None:
        """End it, where it has not ended."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start a run, which ends with the test."""
    started: list[Run] = []

    def start(broker: str, *arguments: str) -> Run:
        started.append(Run(tmp_path, broker, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.mark.case(109, 110, 111, 114, 115, 116, 122)
@pytest.mark.parametrize("program", [redis_program, nats_program], ids=["redis", "nats"])
def test_no_promise_is_broken(start: Callable[..., Run], program: Callable[[], str]) -> None:
    """Through some fifteen faults in nine seconds, nothing is lost in silence, repeated or out of order."""
    program()  # skipped without one
    status, output, report = start(program.__name__.partition("_")[0], "--quick").ended()
    assert (status, report["violations"]) == (0, {}), output
    assert len(report["faults"]) > 6 and report["recovered"] > 0 and report["messages"] > 500, output


def test_what_is_broken_on_purpose_is_found(start: Callable[..., Run]) -> None:
    """A client and nodes that lose, repeat, swap, forge and alter messages fail the run, for each of it."""
    nats_program()
    status, output, report = start("nats", "--seconds", "4", "--pace", "100", "--sabotage", *SABOTAGE).ended()
    assert status == 1
    for name, topic in SABOTAGE.items():
        said = [text for text in report["texts"] if f"{topic} " in text or f"{topic}:" in text]
        assert any(text.startswith(f"{BROKEN[name]}:") for text in said), f"{name}: {said}\n{output}"
    broken = {text.partition(":")[0] for text in report["texts"]}
    assert broken <= {*BROKEN.values(), "phantom", "a message at two offsets"}, output
