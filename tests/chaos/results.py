"""What a run has shown: a summary, and the tables of docs/chaos.md."""

from __future__ import annotations

import argparse
import re

from chaos.checker import Report
from chaos.stage import ROOT

PAGE = ROOT / "docs" / "chaos.md"


def summary(report: Report, wanted: argparse.Namespace) -> str:
    """For whoever has waited for it."""
    lines = [
        f"{wanted.broker}, seed {wanted.seed}, {wanted.seconds:g} s with faults",
        *(f"  {value:>12}  {name}" for name, value in _rows(report)),
        *report.texts,
        f"{sum(report.violations.values())} violations",
    ]
    return "\n".join(lines)


def write(report: Report, wanted: argparse.Namespace) -> None:
    """Put the numbers in their place on the page."""
    command = f"make chaos BROKER={wanted.broker} SECONDS={wanted.seconds:g} SEED={wanted.seed}"
    table = [f"`{command}`:", "", "| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in _rows(report))]
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- results: {wanted.broker} -->", "<!-- end -->"
    new = f"{begin}\n" + "\n".join(table) + f"\n{end}"
    found, times = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: new, text, flags=re.DOTALL)
    if times != 1:
        raise SystemExit(f"{PAGE} has no place for the results of {wanted.broker}")
    PAGE.write_text(found, encoding="utf-8")


def _rows(report: Report) -> list[tuple[str, str]]:
    def many(number: int) -> str:
        return f"{number:,}".replace(",", " ")

    return [
        ("messages acknowledged", many(report.messages)),
        ("messages that were tried", many(report.attempted)),
        ("deliveries to callbacks", many(report.deliveries)),
        ("faults", many(sum(report.faults.values()))),
        *((f"of them: {kind}", many(times)) for kind, times in sorted(report.faults.items())),
        ("subscriptions confirmed", many(report.subscriptions)),
        ("of them after an absence, without a gap", many(report.recovered)),
        ("gaps told", many(sum(report.gaps.values()))),
        *((f"of them: {reason}", many(times)) for reason, times in sorted(report.gaps.items())),
        ("of them in one epoch, while the history had all", many(report.needless)),
        ("streams begun (topics and epochs)", many(report.epochs)),
        *((f"violation: {kind}", many(times)) for kind, times in sorted(report.violations.items())),
        ("violations", many(sum(report.violations.values()))),
    ]
