"""Publishers and subscribers on several nodes, of which any is killed or paused, and the broker too.

    python -m chaos.run [--broker redis|nats] [--seconds 60] [--seed 1] [--quick]

Prints what it does and what the checker finds in the logs of all programs, which are in build/chaos/BROKER.
Ends with status 1 where a promise was broken. The seed gives the same faults again, at the same times.
docs/chaos.md says what is promised.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from chaos import results
from chaos.checker import Report, check
from chaos.records import Ended, Fault, Scene, now, read_logs
from chaos.sabotage import SABOTAGE
from chaos.schedule import NODES, PUBLISHERS, SUBSCRIBERS, Planned, plan
from chaos.setting import TOPICS
from chaos.stage import ROOT, Stage
from fixtures.chaos import BLACK_HOLE, SOUND

QUIET = 3.0
"""Seconds in which nobody has written anything, when all have what they will get."""

MOST_QUIET = 45.0
"""Seconds that are waited for that."""


class Conductor:
    """Does to the programs of a stage what is planned."""

    def __init__(self, stage: Stage, *, loud: bool = True) -> None:
        self._stage = stage
        self._loud = loud
        self._began = time.monotonic()
        self._busy: set[str] = set()
        self._acts = {
            "kill subscriber": self._kill, "pause subscriber": self._pause, "kill publisher": self._kill,
            "pause publisher": self._pause, "kill node": self._kill, "pause node": self._pause,
            "stop node": self._stop, "deafen node": self._deafen, "cut links": self._cut,
            "black hole": self._swallow, "kill broker": self._kill_broker, "pause broker": self._pause_broker,
            "empty broker": self._empty_broker, "fail over": self._fail_over,
        }  # fmt: skip

    async def conduct(self, faults: list[Planned], seconds: float) -> None:
        """All of them, each at its time; returns when all are over, and so many seconds."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(self._began + fault.at - time.monotonic())
                if fault.target in self._busy:  # it is still coming back
                    continue
                self._busy.add(fault.target)
                self._stage.log.write(Fault(now(), fault.kind, fault.target, fault.seconds))
                self._say(f"{fault.kind} {fault.target}, {fault.seconds} s")
                group.create_task(self._act(fault))
            await asyncio.sleep(self._began + seconds - time.monotonic())

    async def settle(self) -> None:
        """No more faults, and no more messages but one on each topic; then wait until all have it."""
        programs = self._stage.programs
        self._say("no more faults")
        await asyncio.gather(*(programs[name].finish() for name in PUBLISHERS))
        await asyncio.gather(*(programs[name].quiet() for name in NODES))
        self._say("no more messages")
        last = self._stage.one_more("publisher", "last")
        await last.start()
        await last.ended()
        await self._quiet()
        await asyncio.gather(*(programs[name].finish() for name in SUBSCRIBERS))
        await asyncio.gather(*(programs[name].stop() for name in NODES))
        self._stage.log.write(Ended(now()))

    async def _quiet(self) -> None:
        """Until nobody writes anything any more."""
        end, size, since = time.monotonic() + MOST_QUIET, -1, 0.0
        while time.monotonic() < end:
            found = sum(path.stat().st_size for path in self._stage.folder.glob("*.jsonl"))
            if found != size:
                size, since = found, time.monotonic()
            elif time.monotonic() - since > QUIET:
                return
            await asyncio.sleep(0.1)

    def _say(self, what: str) -> None:
        if self._loud:
            print(f"{time.monotonic() - self._began:7.1f} s  {what}", flush=True)

    async def _act(self, fault: Planned) -> None:
        try:
            await self._acts[fault.kind](fault)
        finally:
            self._busy.discard(fault.target)

    # -- what can be done

    async def _kill(self, fault: Planned) -> None:
        program = self._stage.programs[fault.target]
        await program.kill()
        await asyncio.sleep(fault.seconds)
        await program.start()

    async def _pause(self, fault: Planned) -> None:
        program = self._stage.programs[fault.target]
        program.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        program.signal(signal.SIGCONT)

    async def _stop(self, fault: Planned) -> None:
        program = self._stage.programs[fault.target]
        await program.stop()
        await asyncio.sleep(fault.seconds)
        await program.start()

    async def _deafen(self, fault: Planned) -> None:
        self._stage.programs[fault.target].signal(signal.SIGUSR1)

    async def _cut(self, fault: Planned) -> None:
        self._stage.links[fault.target].kill_all()

    async def _swallow(self, fault: Planned) -> None:
        link = self._stage.links[fault.target]
        link.to_server = link.to_client = BLACK_HOLE
        await asyncio.sleep(fault.seconds)
        link.to_server = link.to_client = SOUND
        # What was swallowed is missing from these for good: they are of no more use to anybody.
        link.kill_all()

    async def _kill_broker(self, fault: Planned) -> None:
        await asyncio.to_thread(self._stage.broker.kill)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(self._stage.broker.start)

    async def _empty_broker(self, fault: Planned) -> None:
        await asyncio.to_thread(self._stage.broker.kill)
        self._stage.broker.forget()
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(self._stage.broker.start)

    async def _pause_broker(self, fault: Planned) -> None:
        self._stage.broker.pause()
        await asyncio.sleep(fault.seconds)
        self._stage.broker.resume()

    async def _fail_over(self, fault: Planned) -> None:
        await self._stage.fail_over(fault.seconds)


async def perform(folder: Path, wanted: argparse.Namespace) -> None:
    """One run, which leaves its logs in the folder."""
    stage = Stage(folder, wanted.broker, wanted.rate, wanted.sabotage)
    stage.log.write(Scene(now(), wanted.broker, wanted.seed, TOPICS, wanted.broker == "redis"))
    faults = plan(wanted.seed, wanted.seconds, wanted.broker, pace=wanted.pace, longest=wanted.longest)
    async with stage.set():
        conductor = Conductor(stage)
        await conductor.conduct(faults, wanted.seconds)
        await conductor.settle()


def run(wanted: argparse.Namespace) -> Report:
    """One run, and what the checker finds in its logs."""
    folder: Path = wanted.folder / wanted.broker
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    asyncio.run(perform(folder, wanted))
    report = check(read_logs(folder))
    for complaint in complaints(folder):
        report.violations["complaint"] += 1
        report.texts.append(f"complaint: {complaint}")
    (folder / "report.json").write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
    return report


def complaints(folder: Path) -> list[str]:
    """What programs have written that none should."""
    words = ("Traceback", "Exception ignored", "never retrieved", "never awaited", "was destroyed")
    return [
        f"{path.name}: {line}"
        for path in sorted(folder.glob("*.log"))
        for line in path.read_text(errors="replace").splitlines()
        if any(word in line for word in words)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kills and pauses all that takes part, and checks what was promised.")
    parser.add_argument("--broker", choices=["redis", "nats"], default="redis")
    parser.add_argument("--seconds", type=float, default=60, help="with faults; some twenty more follow")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=900, help="messages a second, of all publishers together")
    parser.add_argument("--pace", type=float, default=3.0, help="seconds between faults")
    parser.add_argument("--longest", type=float, default=8.0, help="seconds that a fault lasts")
    parser.add_argument("--quick", action="store_true", help="some fifteen faults within nine seconds")
    parser.add_argument("--write", action="store_true", help="the results into docs/chaos.md")
    parser.add_argument("--sabotage", nargs="*", default=[], choices=SABOTAGE, help="promises to break on purpose")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "chaos", help="where logs and reports go")
    wanted = parser.parse_args(arguments)
    if wanted.quick:
        wanted.seconds, wanted.rate, wanted.pace, wanted.longest = 9.0, 300.0, 0.55, 1.5
    report = run(wanted)
    print(results.summary(report, wanted))
    if wanted.write:
        results.write(report, wanted)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
