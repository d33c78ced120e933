"""How many messages a second one server process echoes, beside the package `websockets`: one row.

    echo.py [--connections 100] [--size 32] [--depth 1] [--seconds 3] [--rounds 5]

Both run on uvloop, without compression, pinned to one core; the load comes from
a generator in C on another. They take turns, the order changes each round, and
what is printed are medians: of the rates, and of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop
from websockets.asyncio.server import ServerConnection, serve

import wsmash

ROOT = Path(__file__).parents[1]
GENERATOR = Path(os.environ.get("WSLOAD_SOURCE", ROOT.parent / "shared" / "tools" / "bench" / "wsload.c"))
WSLOAD = ROOT / "build" / "wsload"
CANDIDATES = ("wsmash", "websockets")


class Load(NamedTuple):
    """What the generator is to do."""

    connections: int
    size: int
    depth: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.connections} connections, {self.size} B, {self.depth} in flight"


async def serve_wsmash() -> None:
    """Echo with this package."""
    def connected(event: wsmash.ConnectionEvent) -> None:
        client = event.client
        client.on("message", lambda event: client.send(event.data))

    async with wsmash.create_server(port=0, host="127.0.0.1") as server:
        server.on("connection", connected)
        print(server.port, flush=True)
        await server.wait_closed()


async def serve_websockets() -> None:
    """Echo with websockets."""
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.wait_closed()


def why_not() -> str | None:
    """The reason why nothing can be measured here, or None."""
    missing = [tool for tool in ("gcc", "taskset") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not found"
    if not GENERATOR.exists():
        return "the load generator wsload.c is not on this machine; WSLOAD_SOURCE names it"
    if len(os.sched_getaffinity(0)) < 2:
        return "one core: the server and the load need one each"
    return None


def build() -> None:
    """Compile the generator where it is newer than what was compiled."""
    if not WSLOAD.exists() or WSLOAD.stat().st_mtime < GENERATOR.stat().st_mtime:
        WSLOAD.parent.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-O2", "-w", "-o", str(WSLOAD), str(GENERATOR)], check=True)


@contextmanager
def server(candidate: str, core: int) -> Iterator[int]:
    """The candidate's server in a process of its own on this core; gives the port."""
    command = ["taskset", "-c", str(core), sys.executable, __file__, "--serve", candidate]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}
    )
    try:
        yield int(process.stdout.readline())  # type: ignore[union-attr]
    finally:
        process.kill()
        process.communicate()


def rate(candidate: str, load: Load) -> float:
    """Messages a second in one run."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    with server(candidate, first) as port:
        command = ["taskset", "-c", str(second), str(WSLOAD), "127.0.0.1", str(port), "/", *map(str, load)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(told.stdout)["msg_per_s"])


def measure(load: Load, rounds: int) -> dict[str, list[float]]:
    """The rates of each candidate, one for each round."""
    rates: dict[str, list[float]] = {candidate: [] for candidate in CANDIDATES}
    for number in range(rounds):
        for candidate in CANDIDATES if number % 2 == 0 else CANDIDATES[::-1]:
            rates[candidate].append(rate(candidate, load))
    return rates


def table(load: Load, rates: dict[str, list[float]]) -> str:
    """The one row, under its head."""
    ours, theirs = (rates[candidate] for candidate in CANDIDATES)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    python = ".".join(map(str, sys.version_info[:3]))
    head = f"echo, one process, Python {python}, uvloop {version('uvloop')}"
    ratio = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return "\n".join([
        f"| {head} | wsmash | websockets {version('websockets')} | ratio |",
        "|---|---|---|---|",
        f"| {load} | {spread(ours)} | {spread(theirs)} | {ratio} |",
        f"Messages a second: the median of {len(ours)} rounds (and their range).",
    ])


def spread(rates: list[float]) -> str:
    """A median and its range."""
    return f"{median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="The echo rate beside websockets'.")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--size", type=int, default=32, help="bytes of a message")
    parser.add_argument("--depth", type=int, default=1, help="messages in flight on each connection")
    parser.add_argument("--seconds", type=float, default=3, help="how long one run takes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=CANDIDATES, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_wsmash() if wanted.serve == "wsmash" else serve_websockets())
    elif reason := why_not():
        print(f"not measured: {reason}")
    else:
        build()
        load = Load(wanted.connections, wanted.size, wanted.depth, wanted.seconds)
        print(table(load, measure(load, wanted.rounds)))


if __name__ == "__main__":
    main()
