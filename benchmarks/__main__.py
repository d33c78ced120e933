"""Run the product beside its peers, and say how they compare: `make bench`.

    make bench                                         every row; writes docs/benchmarks.md and docs/benchmarks.svg
    make bench ARGS=--quick                            every row once and briefly; writes to build/bench
    make bench ARGS='--rows echo-one tls-*'            some rows; writes to build/bench
    make bench ARGS=--list                             the names of the rows

Ctrl-C ends it early, and shows the rows that are done.

WSMASH_ENGINE chooses the product's engine, BENCH_TOOLS the folder of the load
generators.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from tqdm import tqdm

from benchmarks.chart import draw
from benchmarks.generators import BUILT, why_not
from benchmarks.machine import description
from benchmarks.measure import Outcome, Plan, measure
from benchmarks.peers import PEERS, ROOT, SHOWN, why_missing
from benchmarks.processes import cores
from benchmarks.ratios import OURS, Values
from benchmarks.report import all_peers, all_targets, document, verdicts
from benchmarks.rows import ROWS, Row
from benchmarks.runs import Runs

DOCS = ROOT / "docs"
DEFAULT = Plan()


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...", description="How fast the package is beside its peers.", allow_abbrev=False
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these, by name or pattern")
    parser.add_argument("--list", action="store_true", help="the names of all rows, and nothing else")
    parser.add_argument("--rounds", type=int, default=DEFAULT.rounds, help="of a row's own comparison (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="how long one run is measured (%(default)s)")
    parser.add_argument(
        "--others", type=int, default=DEFAULT.others,
        help="how many of the rounds the peers take part in that a row has no target for (%(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="those peers take part in all rounds")
    parser.add_argument("--quick", action="store_true", help="one round of half a second, without those peers")
    return parser.parse_args()


def chosen(patterns: Sequence[str] | None) -> list[Row]:
    """The rows that the patterns match; a pattern that matches none is an error."""
    if patterns is None:
        return list(ROWS)
    for pattern in patterns:
        if not any(fnmatch(row.name, pattern) for row in ROWS):
            sys.exit(f"no row is called {pattern!r}; there are {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if any(fnmatch(row.name, pattern) for pattern in patterns)]


def plan_of(wanted: argparse.Namespace) -> tuple[Plan, float]:
    """How often, and how many seconds."""
    if wanted.quick:
        return Plan(rounds=1, others=0, repeats=0), 0.5
    others = wanted.rounds if wanted.all else wanted.others
    return Plan(wanted.rounds, min(others, wanted.rounds)), wanted.seconds


def others_of(row: Row) -> list[str]:
    """The peers that can do a row's work but are in none of its targets."""
    return [name for name in SHOWN if name not in row.peers and PEERS[name].can(row) and not why_missing(PEERS[name])]


def measure_all(rows: Sequence[Row], plan: Plan, runs: Runs) -> Iterator[Outcome]:
    """Each row's outcome, under a bar that counts runs."""
    total = sum(plan.rounds * (1 + len(row.peers)) + plan.others * len(others_of(row)) for row in rows)
    with tqdm(total=total, unit="run", dynamic_ncols=True, disable=None) as bar:

        def again(more: int) -> None:
            bar.total += more
            bar.refresh()

        def run(row: Row, candidate: str) -> Values:
            bar.set_description(f"{row.name}, {candidate}")
            try:
                return runs.run(row, candidate)
            finally:
                bar.update()

        for row in rows:
            yield measure(row, others_of(row), plan, run, again)


@contextmanager
def prepared() -> Iterator[Path]:
    """A folder for what programs leave, as many descriptors as allowed, and an end that ends what was started."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix=f"{OURS}-bench-") as folder:
        yield Path(folder)


def main() -> None:
    wanted = arguments()
    if wanted.list:
        print("\n".join(f"{row.name:18}{row.title}" for row in ROWS))
        return
    rows = chosen(wanted.rows)
    if reason := why_not():
        print(f"not measured: {reason}")
        return
    plan, seconds = plan_of(wanted)
    print(machine := description(), flush=True)
    outcomes: list[Outcome] = []
    with prepared() as folder, suppress(KeyboardInterrupt):
        for outcome in measure_all(rows, plan, Runs(cores(), seconds, folder)):
            outcomes.append(outcome)  # noqa: PERF402  # what was measured before Ctrl-C is shown
    print("\n".join(["", all_peers(outcomes), "", all_targets(outcomes), "", verdicts(outcomes)]))
    is_whole = len(outcomes) == len(ROWS) and plan.rounds >= DEFAULT.rounds
    write(document(outcomes, plan, seconds, machine), outcomes, DOCS if is_whole else BUILT)


def write(text: str, outcomes: Sequence[Outcome], folder: Path) -> None:
    """The report and its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.md").write_text(text)
    draw(outcomes, folder / "benchmarks.svg")
    print(f"\nwritten: {(folder / 'benchmarks.md').relative_to(ROOT)} and benchmarks.svg beside it")


if __name__ == "__main__":
    main()
