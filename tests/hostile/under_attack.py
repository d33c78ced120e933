"""How soon honest peers are answered while others attack: `python tests/hostile/under_attack.py`, or `make attacks`.

For each engine and attack, in rounds: a period without it, one with four attacking
connections, and as a control one in which these attack another server, which shows
what they cost by the machine that all share. What counts is the median over the
rounds. The servers have one core to themselves, honest peers and attackers the
other one, the attackers when no honest peer wants it.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import IO, Any, NamedTuple, cast

from fixtures.latency import Honest, Latency
from fixtures.served import Served, environment
from hostile.attacks import ATTACKS

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "hostile" / "attackers.py"
DOCUMENT = ROOT / "docs" / "attacks.md"
ATTACKERS = 4
BOUND = 2.0
"""How many times its undisturbed value the 99th percentile may be."""

OPTIONS: dict[str, Any] = {"compression": "deflate", "close_timeout": 1.0, "ping_interval": None}
"""Without pings: honest peers expect their answers alone, and a full run of an attack lasts longer than an interval."""


class Row(NamedTuple):
    """What one attack did on one engine: the medians of all rounds."""

    engine: str
    attack: str
    quiet: Latency
    attacked: Latency
    ratio: float
    control: float


@contextmanager
def attacking(name: str, port: int) -> Iterator[None]:
    """Attack the server there while the block runs."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(port), str(ATTACKERS), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment("auto"),
    )  # fmt: skip
    try:
        assert cast(IO[str], process.stdout).readline() == "ready\n"
        told = cast(IO[str], process.stdin)
        told.write("\n")
        told.flush()
        time.sleep(0.2)  # the first connections are not the attack
        assert process.poll() is None, "the attackers ended"
        yield
        assert process.poll() is None, "the attackers ended"
    finally:
        process.kill()
        process.communicate()


def settle(server: Served, honest: int) -> None:
    """Wait until nothing of an attack is left to be worked off."""
    until = time.monotonic() + 30
    while server.state()["connections"] > honest or server.state()["openings"]:
        assert time.monotonic() < until, server.state()
        time.sleep(0.05)


def middle(found: list[Latency]) -> Latency:
    """The median of each figure."""
    return Latency(*(median(each) for each in zip(*found, strict=True)))


def measure(engine: str, name: str, folder: Path, arguments: argparse.Namespace) -> Row:
    """One attack on one engine."""
    quiet, attacked, control = [], [], []
    servers = [Served(folder, engine, "echo", level="ERROR", **OPTIONS) for _ in range(2)]
    try:
        for server in servers:
            os.sched_setaffinity(server.pid, {SERVER_CORE})
        with Honest(servers[0].port, arguments.honest, arguments.interval) as honest:
            honest.measure(arguments.seconds / 4)  # warms up
            for _ in range(arguments.rounds):
                quiet.append(honest.measure(arguments.seconds))
                with attacking(name, servers[0].port):
                    attacked.append(honest.measure(arguments.seconds))
                settle(servers[0], arguments.honest)
                with attacking(name, servers[1].port):
                    control.append(honest.measure(arguments.seconds))
                settle(servers[1], 0)
    finally:
        for server in servers:
            server.kill()
    ratio = median(under.p99 / before.p99 for under, before in zip(attacked, quiet, strict=True))
    by_machine = median(under.p99 / before.p99 for under, before in zip(control, quiet, strict=True))
    return Row(engine, name, middle(quiet), middle(attacked), ratio, by_machine)


SERVER_CORE, PEERS_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of each; writes nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each period")
    parser.add_argument("--honest", type=int, default=50, help="honest connections")
    parser.add_argument("--interval", type=float, default=0.05, help="seconds between two messages of each")
    parser.add_argument("--engines", nargs="*", default=["native", "portable"])
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS), help="some of them, by name")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 0.3
    os.sched_setaffinity(0, {PEERS_CORE})
    print(LEGEND.format(honest=arguments.honest, attackers=ATTACKERS, bound=BOUND), HEADER, sep="\n", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for engine in arguments.engines:
            for name in arguments.attacks:
                rows.append(row := measure(engine, name, Path(folder), arguments))
                print(line(row), flush=True)
    print("", verdict(rows), *([QUICK] if arguments.quick else []), sep="\n")
    if not arguments.quick and arguments.attacks == list(ATTACKS):
        DOCUMENT.write_text(page(rows, arguments), encoding="utf-8")
    return 0


LEGEND = """\
How soon {honest} honest connections are answered, in milliseconds (p50: half of them, p99: 99 %): undisturbed, and
while {attackers} others attack. ratio: p99 attacked to p99 undisturbed, which is to be below {bound:g}. control: the
same while they attack another server on that core; as high a ratio there is the machine's doing, and not the server's.
group, cases: those of docs/threat-model.md.
"""

QUICK = "A quick run is one short round of each: a single ratio above that says little."

HEADER = """\
| engine | group | cases | attack | p50 | p99 | p50 attacked | p99 attacked | ratio | control |
|---|---|---|---|---|---|---|---|---|---|"""


def verdict(rows: list[Row]) -> str:
    """Whether the bound was kept."""
    above = [f"{row.attack} ({row.engine}: {row.ratio:.2f})" for row in rows if row.ratio >= BOUND]
    found = f"these are not: {'; '.join(above)}." if above else "all are."
    return f"Each ratio is to be below {BOUND:g}, and {found}"


def line(row: Row) -> str:
    """One row of the table."""
    attack = ATTACKS[row.attack]
    times = " | ".join(f"{each * 1000:.2f}" for each in (*row.quiet[:2], *row.attacked[:2]))
    cases = ", ".join(map(str, attack.cases))
    return f"| {row.engine} | {attack.group} | {cases} | {row.attack} | {times} | {row.ratio:.2f} | {row.control:.2f} |"


PAGE = """\
# Under attack

Written by `make attacks` on {date}, on {machine}, with {python}.

How soon honest peers are answered by a server that others attack meanwhile: {honest} connections, each with a message
of 64 bytes every {interval:.0f} ms to an echo server with compression, are measured in {rounds} rounds of three periods
of {seconds:g} s: undisturbed, under attack by {attackers} connections, and as a control while the same connections
attack another server on the same core. Times are in milliseconds, medians over the rounds; the ratios are those of the
99th percentile to the undisturbed one of its round. {verdict}

The undisturbed 99th percentile was between {least:.1f} and {most:.1f} ms. Where these are far apart the machine had
other work to do, the ratios are its noise above all, and the medians say more.

Servers run on one core, honest peers on the other one, attackers there when no honest peer wants it. These
send what they made before as fast as it is taken, and come again as soon as they are thrown out; see
`tests/hostile/attacks.py`.
What the control shows, a share of the processor that another process takes, is no fault of the server's.

{header}
{rows}
"""


def page(rows: list[Row], arguments: argparse.Namespace) -> str:
    """The page, whole."""
    names = [each for each in Path("/proc/cpuinfo").read_text().splitlines() if each.startswith("model name")]
    processor = names[0].partition(": ")[2] if names else platform.machine()
    return PAGE.format(
        date=datetime.now(UTC).date(), machine=f"{os.cpu_count()} cores of {processor}, Linux {platform.release()}",
        python=f"Python {platform.python_version()}", honest=arguments.honest, interval=arguments.interval * 1000,
        rounds=arguments.rounds, seconds=arguments.seconds, attackers=ATTACKERS, verdict=verdict(rows), header=HEADER,
        least=min(row.quiet.p99 for row in rows) * 1000, most=max(row.quiet.p99 for row in rows) * 1000,
        rows="\n".join(map(line, rows)),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
