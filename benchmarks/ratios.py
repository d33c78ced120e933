"""What the numbers of several rounds say: ratios, medians, spread, and whether a target is met.

Nothing here runs anything. The **ratio** of a round is ours over theirs, both measured in that round, one
right after the other. What is quoted is the median of the rounds' ratios. Their
**spread** is (largest - smallest) / median; a row with a spread above
`MOST_SPREAD`, or with fewer than `FEWEST_ROUNDS` rounds, is not quotable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

OURS = "wsmash"
MOST_SPREAD = 0.20
FEWEST_ROUNDS = 3

Values = Mapping[str, float]
"""What one run measured, by the name of the measure."""


class Target(NamedTuple):
    """What is wanted: a bound of a ratio, or of our own value where there is nobody to compare with.

    Attributes:
        measure: what is compared.
        bound: the least or the most.
        against: the peer, or None for our own value.
        at_most: whether the bound is the most.
    """

    measure: str
    bound: float
    against: str | None = None
    at_most: bool = False

    def is_met_by(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


class Measured(NamedTuple):
    """The values of each round by candidate, and why a candidate that failed has none any more."""

    rounds: Sequence[Mapping[str, Values]]
    failures: Mapping[str, str]

    def values(self, candidate: str, measure: str) -> list[float]:
        """The candidate's values, one for each round that has one."""
        return [each[candidate][measure] for each in self.rounds if candidate in each]

    def ratios(self, peer: str, measure: str) -> list[float]:
        """Ours over the peer's, one for each round that has both."""
        return [
            each[OURS][measure] / each[peer][measure]
            for each in self.rounds
            if OURS in each and peer in each and each[peer][measure]
        ]


class Judgement(NamedTuple):
    """How a target fared: the rounds' values, or the reason why there are none."""

    target: Target
    values: Sequence[float]
    reason: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> float:
        return spread(self.values)

    @property
    def is_met(self) -> bool:
        return bool(self.values) and self.target.is_met_by(self.median)

    @property
    def is_quotable(self) -> bool:
        """Whether there were rounds enough, and they agree."""
        return len(self.values) >= FEWEST_ROUNDS and self.spread <= MOST_SPREAD

    def __str__(self) -> str:
        if not self.values:
            return "not measured"
        verdict = "met" if self.is_met else "falls short"
        return verdict if self.is_quotable else f"{verdict}, not quotable"


def spread(values: Sequence[float]) -> float:
    """How far apart values are, as a fraction of their median; 0 for none."""
    return (max(values) - min(values)) / median(values) if values and median(values) else 0.0


def judge(target: Target, measured: Measured) -> Judgement:
    """Hold what was measured against a target."""
    if target.against is None:
        values = measured.values(OURS, target.measure)
    else:
        values = measured.ratios(target.against, target.measure)
    reasons = [
        f"{each}: {measured.failures[each]}" for each in (OURS, target.against) if each and each in measured.failures
    ]
    return Judgement(target, values, "; ".join(reasons) or "it did not run")


def worst_spread(targets: Sequence[Target], measured: Measured) -> float:
    """The spread that decides whether a row is run again."""
    return max((judge(target, measured).spread for target in targets), default=0.0)
