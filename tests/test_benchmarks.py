"""What the benchmark does with its numbers: rounds, ratios, spread, verdicts and tables. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import generators
from benchmarks.holder import frame
from benchmarks.measure import Outcome, Plan, in_turn, measure
from benchmarks.peers import PEERS, SHOWN, work_of
from benchmarks.processes import Failed
from benchmarks.ratios import OURS, Measured, Target, Values, judge, spread
from benchmarks.report import all_peers, all_targets, table, verdicts
from benchmarks.rows import MEASURES, MEMORY, MESSAGES, ROWS, Load, Row, at_least

ROW = Row("row", "some work", MESSAGES, Load("wsload", ()), at_least(MESSAGES, picows=2, floor=0.5))
PLAN = Plan(rounds=3, others=1, repeats=2)

Script = dict[str, Sequence[float]]
"""What each candidate reaches in its runs, one after another; the last value stays."""


def scripted(script: Script, log: list[str] | None = None) -> Callable[[Row, str], Values]:
    """A run that measures nothing: it gives what the script says, and fails where that says 0."""
    taken = dict.fromkeys(script, 0)

    def run(row: Row, candidate: str) -> Values:
        if log is not None:
            log.append(candidate)
        value = script[candidate][min(taken[candidate], len(script[candidate]) - 1)]
        taken[candidate] += 1
        if value == 0:
            raise Failed("it broke")
        return {row.measure.name: value}

    return run


def outcome_of(script: Script, row: Row = ROW, others: Sequence[str] = (), plan: Plan = PLAN) -> Outcome:
    """The outcome of a row whose runs give what the script says."""
    return measure(row, others, plan, scripted(script), lambda more: None)


def measured(ours: Sequence[float], theirs: Sequence[float]) -> Measured:
    """Rounds of us and picows."""
    pairs = zip(ours, theirs, strict=True)
    return Measured([{OURS: {"msg_per_s": a}, "picows": {"msg_per_s": b}} for a, b in pairs], {})


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0), ([3.0], 0), ([1.0, 1.0], 0), ([9.0, 10.0, 12.0], 0.3), ([0.0, 0.0], 0)]
)
def test_spread(values: list[float], expected: float) -> None:
    """The spread is the largest less the smallest, as a part of the median."""
    assert spread(values) == pytest.approx(expected)


def test_median_of_ratios() -> None:
    """What is quoted is the median of the rounds' ratios, not the ratio of the medians."""
    judged = judge(Target("msg_per_s", 2, "picows"), measured([10, 30, 50], [10, 10, 50]))
    assert judged.values == [1, 3, 1]
    assert judged.median == 1


@pytest.mark.parametrize(
    ("bound", "at_most", "ours", "verdict"),
    [
        (2, False, [20, 21, 22], "met"),
        (2, False, [20, 20, 20], "met"),
        (2, False, [19, 19, 19], "falls short"),
        (2, True, [19, 19, 19], "met"),
        (2, True, [20, 20, 20], "met"),
        (2, True, [21, 21, 22], "falls short"),
        (2, False, [20, 20], "met, not quotable"),
        (2, False, [20, 22, 25], "met, not quotable"),
        (3, False, [20, 22, 25], "falls short, not quotable"),
        (2, False, [], "not measured"),
    ],
)
def test_verdict(bound: float, at_most: bool, ours: list[float], verdict: str) -> None:
    """A target is met at its bound; it takes three rounds that agree within 20 % to be quoted."""
    judged = judge(Target("msg_per_s", bound, "picows", at_most), measured(ours, [10] * len(ours)))
    assert str(judged) == verdict


def test_target_without_peer() -> None:
    """A target against nobody bounds our own value."""
    judged = judge(Target("msg_per_s", 25, at_most=True), measured([20, 20, 20], [1, 1, 1]))
    assert (judged.median, str(judged)) == (20, "met")


def test_order_alternates() -> None:
    """Each round turns the order of its candidates round, and the other peers are in the first one only."""
    log: list[str] = []
    script: Script = {OURS: [20], "picows": [5], "floor": [20], "ws": [1]}
    measure(ROW, ["ws"], PLAN, scripted(script, log), lambda more: None)
    assert log[:4] == [OURS, "picows", "floor", "ws"]
    assert log[4:] == [*in_turn([OURS, "picows", "floor"], 1), *in_turn([OURS, "picows", "floor"], 2)]
    assert log[4:7] == ["floor", "picows", OURS]


def test_steady_row_runs_once() -> None:
    """Rounds that agree are not repeated."""
    assert outcome_of({OURS: [20, 21, 22], "picows": [5], "floor": [20]}).attempts == 1


def test_loose_row_runs_again() -> None:
    """A row that spreads too far is run again, the progress bar is told, and the better attempt is what counts."""
    told: list[int] = []
    script: Script = {OURS: [10, 20, 30, 20, 20, 21], "picows": [5], "floor": [20]}
    outcome = measure(ROW, (), PLAN, scripted(script), told.append)
    assert outcome.attempts == 2
    assert told == [9]
    assert outcome.measured.values(OURS, "msg_per_s") == [20, 20, 21]


def test_repeats_end() -> None:
    """A row that never agrees is run as often as the plan allows, and its steadiest attempt is marked."""
    script: Script = {OURS: [10, 20, 30, 10, 14, 18, 10, 20, 40], "picows": [5], "floor": [20]}
    outcome = outcome_of(script)
    assert outcome.attempts == 1 + PLAN.repeats
    assert outcome.measured.values(OURS, "msg_per_s") == [10, 14, 18]
    assert [row[-1] for row in cells(all_targets([outcome]))] == ["met, not quotable"] * 2


def test_peers_table() -> None:
    """Each peer's cell is our value over theirs; who can't do the work, was left out or failed is marked."""
    row = ROW._replace(tls=True, targets=at_least(MESSAGES, picows=2))
    outcome = outcome_of({OURS: [20], "picows": [5], "ws": [16], "aiohttp": [0]}, row, ["ws", "aiohttp"])
    line = cells(all_peers([outcome]))[0]
    assert line[:3] == ["some work", "messages/s (more is better)", "20"]
    assert dict(zip(SHOWN, line[3:], strict=True)) == {
        "picows": "4.00", "websockets": "-", "aiohttp": "failed", "uvicorn": "-", "ws": "1.25", "floor": "cannot"
    }


def test_targets_table() -> None:
    """Each target has a line: what is wanted, the median, the rounds, the spread, the verdict."""
    assert cells(all_targets([outcome_of({OURS: [20, 21, 22], "picows": [10], "floor": [50]})])) == [
        ["some work", "at least 2.00x picows", "2.10x", "3: 2.00x to 2.20x", "10%", "met"],
        ["some work", "at least 0.50x floor", "0.42x", "3: 0.40x to 0.44x", "10%", "falls short"],
    ]


def test_own_value_in_its_unit() -> None:
    """A bound on our own value is given in the measure's unit."""
    row = ROW._replace(measure=MEMORY, targets=(Target(MEMORY.name, 3 * 1024, at_most=True),))
    outcome = outcome_of({OURS: [2048]}, row)
    assert cells(all_targets([outcome]))[0][1:4] == ["at most 3 KiB a connection", "2", "3: 2 to 2"]


def test_verdicts_name_rows() -> None:
    """The last lines name what falls short, and nothing where nothing does."""
    short = outcome_of({OURS: [20], "picows": [11], "floor": [20]})
    assert verdicts([short]).splitlines() == [
        "1 of 2 targets are met.", "", "Short of their target:", "", "- row: 1.82x, wanted: at least 2.00x picows"
    ]
    assert verdicts([outcome_of({OURS: [20], "picows": [10], "floor": [20]})]) == "2 of 2 targets are met."


def test_failures_are_told() -> None:
    """A peer that fails costs its own target only, and the reason is given."""
    outcome = outcome_of({OURS: [20], "picows": [0], "floor": [20]})
    assert [row[-1] for row in cells(all_targets([outcome]))] == ["not measured", "met"]
    assert "- row: picows: it broke" in verdicts([outcome])


def test_hole_in_a_round() -> None:
    """A run that fails once leaves the other rounds as they are."""
    outcome = outcome_of({OURS: [20], "picows": [10, 0, 10], "floor": [20]})
    assert outcome.measured.ratios("picows", "msg_per_s") == [2, 2]


def test_table_lines_up() -> None:
    """Every line of a table is as wide as the widest."""
    assert table(["a", "bcd"], [["efg", "h"]]) == "| a   | bcd |\n| --- | --- |\n| efg | h   |"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row) -> None:
    """A row has a target, of a known measure, against peers that can do its work, and so can we."""
    assert row.targets
    assert all(target.measure in MEASURES for target in row.targets)
    assert all(PEERS[name].can(row) for name in (OURS, *row.peers))
    assert work_of(PEERS[OURS], row) == row.work


def test_row_names_differ() -> None:
    """`--rows` can name each."""
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("size", "head"), [(125, 6), (126, 8), (65535, 8), (65536, 14)])
def test_frame(size: int, head: int) -> None:
    """The load's own frames have the shortest length that holds their size (RFC 6455 5.2)."""
    assert len(frame(size)) == head + size


def test_missing_generators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the load generators are missing, the reason says how to name them."""
    monkeypatch.setattr(generators, "SOURCES", tmp_path)
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    assert "BENCH_TOOLS" in (generators.why_not() or "")
