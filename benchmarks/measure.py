"""Alternating rounds: who runs when, and which rows are run again. It knows nothing of processes.

The candidates of a round run one after another, and each round turns their order
round, so that what drifts on a machine falls on all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.processes import Failed
from benchmarks.ratios import MOST_SPREAD, OURS, Measured, Values, worst_spread
from benchmarks.rows import Row

Run = Callable[[Row, str], Values]


class Plan(NamedTuple):
    """How often things are run.

    Attributes:
        rounds: of a row's own comparison.
        others: the first so many of them that the other peers take part in.
        repeats: how many times a row that spreads too far is run again.
    """

    rounds: int = 5
    others: int = 1
    repeats: int = 2


class Outcome(NamedTuple):
    """What a row's attempts gave.

    Attributes:
        row: what was run.
        measured: the attempt whose rounds agree best.
        aside: the first attempt, the only one that the other peers took part in.
        attempts: how many there were.
    """

    row: Row
    measured: Measured
    aside: Measured
    attempts: int


def in_turn(candidates: Sequence[str], number: int) -> list[str]:
    """The candidates in the order of this round."""
    return list(candidates if number % 2 == 0 else reversed(candidates))


def measure(row: Row, others: Sequence[str], plan: Plan, run: Run, again: Callable[[int], None]) -> Outcome:
    """Run a row until its rounds agree, or as often as the plan allows.

    Args:
        row: what to run, with us and the peers of its targets.
        others: who runs beside them in the first rounds.
        plan: how often.
        run: one run of a candidate.
        again: is told how many more runs there are when the row is run again.
    """
    own = [OURS, *row.peers]
    attempts = [attempt(row, own, others, plan, run)]
    while worst_spread(row.targets, attempts[-1]) > MOST_SPREAD and len(attempts) <= plan.repeats:
        again(plan.rounds * len(own))
        attempts.append(attempt(row, own, (), plan, run))
    best = min(attempts, key=lambda each: worst_spread(row.targets, each))
    return Outcome(row, best, attempts[0], len(attempts))


def attempt(row: Row, own: Sequence[str], others: Sequence[str], plan: Plan, run: Run) -> Measured:
    """All rounds of a row once. A run that fails leaves a hole in its round, and says why."""
    rounds: list[dict[str, Values]] = []
    failures: dict[str, str] = {}
    for number in range(plan.rounds):
        values: dict[str, Values] = {}
        for candidate in in_turn([*own, *(others if number < plan.others else ())], number):
            try:
                values[candidate] = run(row, candidate)
            except Failed as failed:
                failures.setdefault(candidate, str(failed))
        rounds.append(values)
    return Measured(rounds, failures)
