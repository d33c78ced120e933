"""The soak, for a few seconds: that it passes, and that it finds each kind of leak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soak.server import LEAKS
from soak.usage import MIB, Usage, left, settled, slope
from wsmash.transports import native

pytestmark = pytest.mark.case(73)

ROOT = Path(__file__).parents[2]
QUICKLY = ("--seconds", "5", "--rate", "20")
ENGINE = "portable" if native.missing else "native"
ANYTHING = ("--most-growth", "1000")
"""In a few seconds no slope tells anything."""


class Run:
    """A soak in a process of its own, which has begun."""

    def __init__(self, folder: Path, engine: str, *arguments: str) -> None:
        path = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak.run", *QUICKLY, "--folder", str(folder), *arguments],
            env=os.environ | {"WSMASH_ENGINE": engine, "PYTHONPATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(self) -> tuple[int, str]:
        """Its status and what it has written."""
        output, complaints = self._process.communicate(timeout=100)
        assert not complaints, complaints
        return self._process.returncode, output

    def kill(self) -> None:
        """End it, where it has not ended."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """One that should pass, and one on a server that leaks; side by side, since most of their time is waiting."""
    leaks = [word for leak in LEAKS for word in ("--leak", leak)]
    found = {
        "sound": Run(tmp_path_factory.mktemp("sound"), ENGINE, *ANYTHING),
        "leaking": Run(
            tmp_path_factory.mktemp("leaking"), "portable", *leaks, "--patience", "0.5", "--most-growth", "20"
        ),
    }
    yield found
    for each in found.values():
        each.kill()


def test_nothing_is_left(runs: dict[str, Run]) -> None:
    """After a few seconds of mixed load everything is as it was."""
    status, output = runs["sound"].ended()
    assert (status, output.splitlines()[-1]) == (0, "everything is as it was"), output
    report = json.loads((runs["sound"].folder / "soak.json").read_text())
    assert report["engine"] == ENGINE and len(report["visits"]) > 10


def test_leaks_are_found(runs: dict[str, Run]) -> None:
    """A server that keeps memory, a descriptor, a task and a timer of each connection fails for each of them."""
    status, output = runs["leaking"].ended()
    assert status == 1
    faults = "\n".join(line for line in output.splitlines() if line.startswith("FAULT"))
    for word in ("the server grew by", "descriptors of the server", "tasks of the server", "timers of the server"):
        assert word in faults, output


def usage(at: float, resident: float, descriptors: int = 10) -> Usage:
    return Usage(at, int(resident * MIB), descriptors, 1, 0, 0, 1000, 0)


def test_slope() -> None:
    """A line through the sizes: a steady leak is its rate, a step early on is none, waves are none."""
    assert slope([usage(at, 50 + at / 30) for at in range(300)]) == pytest.approx(2, abs=0.01)
    assert slope([usage(at, 50 + 3 * (at % 7)) for at in range(300)]) == pytest.approx(0, abs=0.1)
    assert slope(settled([usage(at, 50 if at < 90 else 60) for at in range(300)])) == pytest.approx(0, abs=0.01)
    assert slope([usage(0, 50)]) == 0


def test_left() -> None:
    """What there is more of, and memory is judged by its slope alone."""
    assert left(usage(0, 50), usage(9, 99)) == {}
    assert left(usage(0, 50, 10), usage(9, 50, 12)) == {"descriptors": 2}
    assert left(usage(0, 50, 10), usage(9, 50, 8)) == {}
