"""Starting programs on one core each, and ending them: only those that were started here."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from benchmarks.peers import ROOT

LONGEST_START = 30.0
"""Seconds until a server must say where it listens."""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


class Failed(Exception):
    """A program ended as it should not have, or never said what was waited for."""


def cores() -> tuple[int, int]:
    """Two cores that this process may use: for what is measured, and for what puts it to work."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    return first, second


def pinned(command: Sequence[str], core: int) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@contextmanager
def running(command: Sequence[str], core: int, log: Path) -> Iterator[subprocess.Popen[str]]:
    """The program while the block runs; what it complains of goes to a file, where it can never block it."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            pinned(command, core), stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=ENVIRONMENT
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def announced_port(process: subprocess.Popen[str], log: Path) -> int:
    """The port that a server prints once it listens.

    Raises:
        Failed: it printed none in time.
    """
    told = cast("IO[str]", process.stdout)
    ready, _, _ = select.select([told], [], [], LONGEST_START)
    line = told.readline() if ready else ""
    if not line.strip().isdigit():
        raise Failed(f"its server did not start: {last_line(log.read_text())}")
    return int(line)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens there.

    Raises:
        Failed: nobody does in time.
    """
    until = time.monotonic() + LONGEST_START
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise Failed(f"nobody listens on port {port}")


def output(command: Sequence[str], core: int, longest: float) -> str:
    """What a program prints until it ends.

    Raises:
        Failed: it ended with another status than 0, or not in time.
    """
    try:
        told = subprocess.run(
            pinned(command, core),
            capture_output=True, text=True, timeout=longest, check=False, cwd=ROOT, env=ENVIRONMENT,
        )
    except subprocess.TimeoutExpired as late:
        raise Failed(f"not done after {longest:.0f} s") from late
    if told.returncode:
        raise Failed(last_line(told.stderr) or f"ended with status {told.returncode}")
    return told.stdout


def last_line(text: str) -> str:
    """The line of an error report that says most."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
