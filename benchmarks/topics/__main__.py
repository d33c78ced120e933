"""Measure topics, and write docs/benchmarks-topics.md: `make bench-topics`.

make bench-topics                                  all of it, some ten minutes
make bench-topics ARGS=--quick                     one short round, written to build/bench
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import wsmash
from benchmarks.generators import built, why_not
from benchmarks.machine import processor
from benchmarks.measure import in_turn
from benchmarks.peers import ROOT
from benchmarks.processes import Failed, announced_port, cores, output, running
from benchmarks.ratios import MOST_SPREAD, OURS, Measured, Target, Values, worst_spread
from benchmarks.topics.report import EMBEDDED, OF_EMBEDDED, OF_SHARED, document
from benchmarks.topics.runs import CANDIDATES, Process, Work, run

SECONDS = 3.0
BURST, STEADY = Work(2000), Work(50, 5.0)
"""Nine hundred deliveries of each: as fast as can be, and five times a second for ten seconds."""

REPEATS = 2
"""How often a comparison whose rounds do not agree is run again."""


def rounds(count: int, candidates: Sequence[str], measure: Callable[[str], Values]) -> Measured:
    """Each candidate once in each round, which turns their order round."""
    found: list[dict[str, Values]] = []
    failures: dict[str, str] = {}
    for number in range(count):
        values: dict[str, Values] = {}
        for name in in_turn(candidates, number):
            try:
                values[name] = measure(name)
            except Failed as failed:
                failures.setdefault(name, str(failed))
            print(f"round {number + 1}: {name}: {values.get(name, failures.get(name))}", file=sys.stderr)
        found.append(values)
    return Measured(found, failures)


def agreed(target: Target, count: int, candidates: Sequence[str], measure: Callable[[str], Values]) -> Measured:
    """The attempt whose rounds agree best; the first that agree well enough is the last."""
    attempts: list[Measured] = []
    while len(attempts) <= REPEATS:
        attempts.append(rounds(count, candidates, measure))
        if worst_spread((target,), attempts[-1]) <= MOST_SPREAD:
            break
    return min(attempts, key=lambda each: worst_spread((target,), each))


def embedded(work: str, seconds: float, folder: Path) -> Values:
    """A server on one core sends what one of a thousand connections says to all; who says it has the other core."""
    core, other = cores()
    log = folder / "embedded.log"
    command = [sys.executable, "-m", "benchmarks.topics.embedded", "publish" if work == OURS else work]
    with running(command, core, log) as process:
        server = Process(process, announced_port(process, log))
        load = [built("wsfan"), "127.0.0.1", str(server.port), "/", "1000", "128", "8", str(seconds)]
        before = server.cpu()
        told = json.loads(output(load, other, 60))
        spent = server.cpu() - before
    return {"deliveries_per_s": told["deliveries_per_s"], "cpu_us": spent / (told["rounds"] * told["conns"]) * 1e6}


def machine() -> str:
    """What the numbers depend on."""
    peers = [f"{name} {version(name)}" for name in ("python-socketio", "uvicorn", "websockets", "redis")]
    return (
        f"wsmash {wsmash.__version__}, engine: {wsmash.engine()}; CPython {platform.python_version()}, uvloop "
        f"{version('uvloop')}; beside {', '.join(peers)}; {redis_version()}. {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, Linux {platform.release()}."
    )


def redis_version() -> str:
    """What the server says of itself."""
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return f"Redis {told.partition('v=')[2].split()[0]}"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="make bench-topics ARGS=...", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--rounds", type=int, default=5, help="how many (%(default)s)")
    wanted = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    count, seconds = (1, 0.5) if wanted.quick else (wanted.rounds, SECONDS)
    works = [Work(100), Work(20, 10.0)] if wanted.quick else [BURST, STEADY]
    by_name = {each.name: each for each in CANDIDATES}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        alone = agreed(OF_EMBEDDED, count, [OURS, EMBEDDED], lambda name: embedded(name, seconds, folder))
        burst, steady = works
        shared = [
            agreed(OF_SHARED, count, list(by_name), lambda name: run(by_name[name], burst, folder)),
            rounds(count, list(by_name), lambda name: run(by_name[name], steady, folder)),
        ]
    text = document(alone, shared, works, machine())
    page = ROOT / ("build/bench" if wanted.quick else "docs") / "benchmarks-topics.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
