"""Measure what one machine carries, and write it into docs/scaling.md: `make bench-scaling`.

make bench-scaling                                 all of it, some six minutes
make bench-scaling ARGS=--quick                    one short round, written to build/bench
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import wsmash
from benchmarks.machine import processor
from benchmarks.peers import ROOT
from benchmarks.processes import Failed
from benchmarks.scaling.fanout import PROTOCOL, TOGETHER, one_process, workers
from benchmarks.scaling.memory import memory
from benchmarks.scaling.page import Found, parts_of, written
from benchmarks.scaling.stage import BROKERS, NATS, load
from benchmarks.scaling.storms import resumed, spread
from benchmarks.scaling.traffic import HISTORY, quiet, traffic
from fixtures.brokers import nats_program, redis_program

PAGE = ROOT / "docs" / "scaling.md"
T = TypeVar("T")


def told(function: Callable[..., T], *arguments: object, **named: object) -> T:
    """What a measurement gives, which is also said at once."""
    found = function(*arguments, **named)
    print(f"{function.__name__}: {found}", file=sys.stderr, flush=True)
    return found


def measure(folder: Path, *, is_quick: bool) -> Found:
    """All of it."""
    rounds = 1 if is_quick else 3
    messages = 2000 if is_quick else 5000
    fan = 100 if is_quick else 200
    before = load()
    quiet_for, topics = (4.0, 500) if is_quick else (12.0, 5000)
    moved = [told(traffic, name, kept, messages, rounds, folder) for name in BROKERS for kept in (0, HISTORY)]
    resting = [told(quiet, name, quiet_for, topics, folder) for name in BROKERS]
    delivered = [
        told(one_process, fan, rounds, folder),
        told(one_process, fan, rounds, folder, protocol=PROTOCOL),
        told(one_process, fan, rounds, folder, window=TOGETHER),
        told(workers, 1, fan, rounds, folder),
        told(workers, 2, fan, rounds, folder),
    ]
    clients = 500 if is_quick else 1000
    back = [told(resumed, name, clients, folder, own=own) for name in BROKERS for own in (False, True)]
    back.append(told(resumed, BROKERS[0], 6 * clients, folder, own=False))
    spread_out = told(spread, 200 if is_quick else 1000, folder)
    held = told(memory)
    return Found(machine(before, rounds), held, delivered, moved, resting, back, spread_out)


def machine(before: float, rounds: int) -> str:
    """What the numbers depend on, and what else the machine had to do."""
    redis = _version([redis_program(), "--version"], "v=")
    nats = _version([nats_program(), "--version"], "v")
    return (
        f"wsmash {wsmash.__version__}, engine: {wsmash.engine()}; CPython {platform.python_version()}, uvloop "
        f"{version('uvloop')}; Redis {redis}, which writes nothing to the disk; {NATS} {nats}, which does. "
        f"{processor()}, {len(os.sched_getaffinity(0))} cores for all of it, Linux {platform.release()}. The load "
        f"of the machine was {before:.1f} before, and {load():.1f} at the end, of which this is a part. "
        + ("One short round of each." if rounds == 1 else f"Medians of {rounds} rounds, but for storms, of one each.")
    )


def _version(command: list[str], mark: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.partition(mark)[2].split()[0] if mark == "v=" else said.split(mark)[-1].split()[0]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="make bench-scaling ARGS=...", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="one short round, which docs/ does not get")
    wanted = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as made:
        try:
            found = measure(Path(made), is_quick=wanted.quick)
        except Failed as failed:
            sys.exit(f"not measured: {failed}")
    text = written(PAGE.read_text(encoding="utf-8"), parts_of(found))
    page = ROOT / "build" / "bench" / PAGE.name if wanted.quick else PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    print(f"written: {page}")


def why_not() -> str | None:
    """Why nothing can be measured here, or None."""
    if sys.platform != "linux":
        return "what a process has taken is asked of Linux"
    try:
        redis_program(), nats_program()
    except BaseException as skipped:  # the exception of a test that is skipped
        return str(skipped)
    return None


if __name__ == "__main__":
    main()
