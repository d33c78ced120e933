"""What a benchmark found, in words: the table of all peers, that of the targets, and which rows fall short."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.measure import Outcome, Plan
from benchmarks.peers import PEERS, SHOWN
from benchmarks.ratios import FEWEST_ROUNDS, MOST_SPREAD, OURS, Judgement, judge
from benchmarks.rows import MEASURES, Measure

CANNOT = "cannot"
NOT_RUN = "-"
"""A peer that was left out of this run."""


def judgements(outcome: Outcome) -> list[Judgement]:
    """How each target of the row fared."""
    return [judge(target, outcome.measured) for target in outcome.row.targets]


def ratio_to(outcome: Outcome, peer: str) -> float | None:
    """The median of ours over this peer's, or None where there is none."""
    measured = outcome.measured if peer in outcome.row.peers else outcome.aside
    ratios = measured.ratios(peer, outcome.row.measure.name)
    return median(ratios) if ratios else None


def ours(outcome: Outcome) -> float | None:
    """The median of our own values, or None where we failed."""
    values = outcome.measured.values(OURS, outcome.row.measure.name)
    return median(values) if values else None


def all_peers(outcomes: Sequence[Outcome]) -> str:
    """A row for each work: our value, and how many times each peer's it is."""
    heads = ["work", "", OURS, *(f"÷ {peer}" for peer in SHOWN)]
    return table(heads, [_own_cells(each) + [_peer_cell(each, peer) for peer in SHOWN] for each in outcomes])


def _own_cells(outcome: Outcome) -> list[str]:
    measure, value = outcome.row.measure, ours(outcome)
    direction = "more is better" if measure.more_is_better else "less is better"
    return [outcome.row.title, f"{measure.unit} ({direction})", "failed" if value is None else number(value, measure)]


def _peer_cell(outcome: Outcome, peer: str) -> str:
    if not PEERS[peer].can(outcome.row):
        return CANNOT
    ratio = ratio_to(outcome, peer)
    if ratio is not None:
        return f"{ratio:.2f}"
    return "failed" if peer in failures(outcome) else NOT_RUN


def all_targets(outcomes: Sequence[Outcome]) -> str:
    """A row for each target: what is wanted, what was measured, and the verdict."""
    heads = ["work", "target", "median", "rounds", "spread", "verdict"]
    return table(heads, [
        [outcome.row.title, wanted(judged), *_found(judged), str(judged)]
        for outcome in outcomes for judged in judgements(outcome)
    ])


def _found(judged: Judgement) -> list[str]:
    if not judged.values:
        return [NOT_RUN] * 3
    low, high = (in_words(edge(judged.values), judged) for edge in (min, max))
    return [in_words(judged.median, judged), f"{len(judged.values)}: {low} to {high}", f"{judged.spread:.0%}"]


def wanted(judged: Judgement) -> str:
    """A target in words."""
    target = judged.target
    bound = f"{'at most' if target.at_most else 'at least'} {in_words(target.bound, judged)}"
    if target.against is None:
        return f"{bound} {MEASURES[target.measure].unit}"
    whose = "the product's own plain callback" if target.against == "itself" else target.against
    what = {"p50_us": "the time of ", "shrunk_to": "the size of "}.get(target.measure, "")
    return f"{bound} {what}{whose}"


def in_words(value: float, judged: Judgement) -> str:
    """A ratio with its sign, a value of our own in its unit's scale."""
    return f"{value:.2f}x" if judged.target.against else number(value, MEASURES[judged.target.measure])


def number(value: float, measure: Measure) -> str:
    """Three digits or more, as many as say something."""
    scaled = value / measure.scale
    return f"{scaled:,.0f}" if scaled >= 100 else f"{scaled:.3g}"


def verdicts(outcomes: Sequence[Outcome]) -> str:
    """Which rows fall short, which can't be quoted, and what failed, a line each."""
    every = [(outcome, judged) for outcome in outcomes for judged in judgements(outcome)]
    found = [(outcome, judged) for outcome, judged in every if judged.values]
    sections = {
        "Short of their target:": [_said(*each) for each in found if not each[1].is_met],
        "Not measured:": [f"{outcome.row.name}: {judged.reason}" for outcome, judged in every if not judged.values],
        f"Not quotable, for a spread above {MOST_SPREAD:.0%} or fewer than {FEWEST_ROUNDS} rounds:": [
            f"{_said(outcome, judged)} (rounds: {len(judged.values)}, spread: {judged.spread:.0%})"
            for outcome, judged in found
            if not judged.is_quotable
        ],
        "Runs that failed:": [
            f"{outcome.row.name}, {candidate}: {reason}"
            for outcome in outcomes
            for candidate, reason in failures(outcome).items()
        ],
    }
    met = sum(judged.is_met for _, judged in every)
    parts = [f"{met} of {len(every)} targets are met."]
    parts += ["\n".join([title, "", *(f"- {line}" for line in lines)]) for title, lines in sections.items() if lines]
    return "\n\n".join(parts)


def failures(outcome: Outcome) -> dict[str, str]:
    """Why which candidate could not be measured in any attempt that is shown."""
    return {**outcome.aside.failures, **outcome.measured.failures}


def _said(outcome: Outcome, judged: Judgement) -> str:
    return f"{outcome.row.name}: {in_words(judged.median, judged)}, wanted: {wanted(judged)}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, its columns padded so that it reads well in a terminal too."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def how_to_read(plan: Plan, seconds: float) -> str:
    """What the numbers are."""
    others = f"{plan.others} of its rounds" if plan.others else "none of its rounds"
    return " ".join([
        f"Each number is a median of {plan.rounds} rounds of {seconds:g} s. A ratio is ours over theirs, both from the",
        "same round; where less is better, a ratio below 1 is the better one. What is measured runs in one process on",
        "one core, what is written in Python on uvloop; what puts a server to work is a program in C on another core.",
        f"Peers that a row has no target for take part in {others}. `floor` is no server but the least that any server",
        "has to do: it checks nothing. The spread is (largest - smallest) / median; a row that spreads by more than",
        f"{MOST_SPREAD:.0%} is run again, up to {plan.repeats} times, and what is shown is the attempt whose rounds",
        "agree best. In the picture a tick is a target, in its peer's colour, and a red ring marks what falls short.",
    ])


def document(outcomes: Sequence[Outcome], plan: Plan, seconds: float, machine: str) -> str:
    """The whole report."""
    return "\n\n".join([
        "# Benchmarks",
        "Written by `make bench`.",
        machine,
        "![How many times better than each peer](benchmarks.svg)",
        how_to_read(plan, seconds),
        "## Beside its peers",
        all_peers(outcomes),
        "## Targets",
        all_targets(outcomes),
        verdicts(outcomes),
    ]) + "\n"
