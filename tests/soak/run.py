"""Honest and hostile load on a real server for a time; then nothing may have grown, and nothing be left (case 73).

    python -m soak.run [--seconds 60] [--seed 1] [--rate 25]     on the engine that WSMASH_ENGINE names

Prints what it found, and writes build/soak.json, build/soak.log (what the server
complained of) and, where matplotlib is installed, build/soak.png. Ends with status 1
where the memory of the server or of its clients grew by more than `--most-growth` MiB a
minute after the warm-up, where descriptors, tasks, deadlines or timers are not back to
what they were, where an honest visitor did not get what it should, or where the server
let a traceback out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, TextIO

from soak.honest import HONEST
from soak.hostile import ENDINGS, HOSTILE
from soak.usage import MIB, Usage, left, settled, slope
from soak.visit import Place, Visit

ROOT = Path(__file__).parents[2]

MOST_AT_ONCE = 60
"""Visitors: who comes while so many are there is put off."""

SAMPLES = 200
"""In all, but no more than one each second."""

BETWEEN_OUTAGES, OUTAGE = 6.0, 1.5
"""Seconds that a part of the server is there, and is not."""

LONGEST = 40.0
"""Seconds that a visit may take."""


class Server:
    """The process under load, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        context = ssl.create_default_context(cadata=ready["authority"])
        self.place = Place(ready["plain"], ready["secure"], ready["flaky"], context)
        self.engine: str = ready["engine"]
        self._process = process
        self._busy = asyncio.Lock()

    async def usage(self, order: str = "look") -> Usage:
        """What it holds, once it has done as it was told."""
        assert self._process.stdin is not None and self._process.stdout is not None
        async with self._busy, asyncio.timeout(10):
            self._process.stdin.write(f"{order}\n".encode())
            return Usage(**json.loads(await self._process.stdout.readline()))

    async def come_and_go(self) -> None:
        """Let one of its listeners stop and start again, until this is cancelled."""
        while True:
            await asyncio.sleep(BETWEEN_OUTAGES)
            try:
                await self.usage("stop")
                await asyncio.sleep(OUTAGE)
            finally:
                await asyncio.shield(self.usage("start"))


@asynccontextmanager
async def started(leaks: list[str], log: TextIO) -> AsyncIterator[Server]:
    """A server, until the block ends."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests"))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "soak.server", *leaks, stdin=pipe, stdout=pipe, stderr=log,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start; {log.name} says why")
        yield Server(process, json.loads(line))
        process.stdin.close()
        async with asyncio.timeout(10):
            status = await process.wait()
        if status:
            raise SystemExit(f"the server ended with status {status}; {log.name} says why")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Load:
    """The visitors, and what they met.

    Attributes:
        visits: by name, how many there were.
        faults: what an honest one should not have met; the first ten of them.
    """

    def __init__(self, place: Place, seed: int) -> None:
        self.visits: Counter[str] = Counter()
        self.faults: list[str] = []
        self._place = place
        self._random = Random(seed)
        self._there: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float, rate: float) -> None:
        """Send visitors, a few each moment."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if len(self._there) < MOST_AT_ONCE:
                self.send()
            await asyncio.sleep(self._random.expovariate(rate))

    def send(self) -> None:
        """One visitor; half of them are honest."""
        random = Random(self._random.random())
        honest = random.random() < 0.5
        visitor = random.choice(HONEST if honest else HOSTILE)
        self.visits[visitor.__name__] += 1
        task = asyncio.create_task(self._visit(visitor, Visit(self._place, random), honest=honest))
        self._there.add(task)
        task.add_done_callback(self._there.discard)

    async def _visit(self, visitor: Any, visit: Visit, *, honest: bool) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                await visitor(visit)
        except Exception as error:
            if (honest or not isinstance(error, ENDINGS)) and len(self.faults) < 10:
                self.faults.append(f"{visitor.__name__}{' over TLS' * visit.tls}: {error!r}")

    async def leave(self) -> None:
        """Wait until all have gone."""
        while self._there:
            await asyncio.wait(self._there)


async def soak(wanted: argparse.Namespace, log: TextIO) -> dict[str, Any]:
    """The report: what was done, what was measured, and what is wrong."""
    samples: list[Usage] = []
    own: list[Usage] = []
    async with started(wanted.leak, log) as server:
        load = Load(server.place, wanted.seed)
        await _warm_up(load, wanted.rate)
        before, own_before = await server.usage(), Usage.now(time.monotonic(), 0)
        running = asyncio.create_task(load.run(wanted.seconds, wanted.rate))
        outages = asyncio.create_task(server.come_and_go())
        while not running.done():
            samples.append(await server.usage())
            own.append(Usage.now(time.monotonic(), 0))
            print(f"{samples[-1].at - samples[0].at:6.0f} s  {_line(samples[-1])}", flush=True)
            await asyncio.wait([running], timeout=max(1.0, wanted.seconds / SAMPLES))
        outages.cancel()
        await asyncio.wait([outages])
        await load.leave()
        after = await _settled(server, before, wanted.patience)
        own_after = Usage.now(time.monotonic(), 0)
    print(f"   end    {_line(after)}", flush=True)
    growth = {"server": slope(settled(samples)), "clients": slope(settled(own))}
    faults = list(load.faults)
    faults += [f"the {who} grew by {by:.2f} MiB a minute" for who, by in growth.items() if by > wanted.most_growth]
    for who, one, other in (("server", before, after), ("clients", own_before, own_after)):
        faults += [f"{more} {name} of the {who} were left" for name, more in left(one, other).items()]
    return {
        "engine": server.engine, "seconds": wanted.seconds, "seed": wanted.seed, "rate": wanted.rate,
        "visits": load.visits, "growth": growth, "faults": faults,
        "before": before._asdict(), "after": after._asdict(),
        "samples": [each._asdict() for each in samples], "clients": [each._asdict() for each in own],
    }  # fmt: skip


async def _warm_up(load: Load, rate: float) -> None:
    """Let everything be made that is made once."""
    await load.run(2, rate)
    await load.leave()
    await asyncio.sleep(1.5)


async def _settled(server: Server, before: Usage, patience: float) -> Usage:
    """What the server holds once it is back to what it was, or has had its time for it."""
    end = time.monotonic() + patience
    while left(before, found := await server.usage()) and time.monotonic() < end:
        await asyncio.sleep(0.5)
    return found


def _line(usage: Usage) -> str:
    return (
        f"{usage.resident / MIB:7.1f} MiB  {usage.connections:4} connections  {usage.descriptors:4} descriptors  "
        f"{usage.tasks:3} tasks  {usage.deadlines:4} deadlines  {usage.timers:3} timers  {usage.objects:7} objects"
    )


def draw(report: dict[str, Any], place: Path) -> None:
    """Memory and connections over time, where there is something to draw with."""
    with suppress(ImportError):
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot as plt

        figure, memory = plt.subplots(figsize=(10, 4))
        for who, samples in (("server", report["samples"]), ("clients", report["clients"])):
            times = [each["at"] - samples[0]["at"] for each in samples]
            memory.plot(times, [each["resident"] / MIB for each in samples], label=who)
        memory.set(xlabel="seconds", ylabel="MiB resident", ylim=(0, None), title=f"soak, {report['engine']} engine")
        memory.legend()
        figure.savefig(place)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Load on a real server, after which nothing may be left.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=25, help="visitors a second")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds for the server to let go of the last")
    parser.add_argument("--leak", action="append", default=[], help="let the server leak, to see it found")
    parser.add_argument("--most-growth", type=float, default=1.0, metavar="MIB", help="a minute")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where the report goes")
    wanted = parser.parse_args(arguments)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with (wanted.folder / "soak.log").open("w", encoding="utf-8") as log:
        report = asyncio.run(soak(wanted, log))
    if "Traceback" in Path(log.name).read_text(encoding="utf-8"):
        report["faults"].append(f"the server let a traceback out: see {log.name}")
    (wanted.folder / "soak.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    draw(report, wanted.folder / "soak.png")
    growth = report["growth"]
    print(f"{sum(report['visits'].values())} visits in {wanted.seconds:.0f} s on the {report['engine']} engine")
    print(f"growth a minute: server {growth['server']:+.2f} MiB, clients {growth['clients']:+.2f} MiB")
    for fault in report["faults"]:
        print(f"FAULT: {fault}")
    print("failed" if report["faults"] else "everything is as it was")
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
