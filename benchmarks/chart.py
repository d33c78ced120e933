"""The ratios as a picture: a line for each row, a mark for each peer, at how many times better we are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.measure import Outcome
from benchmarks.peers import PEERS, SHOWN
from benchmarks.ratios import Target
from benchmarks.report import judgements, ratio_to
from benchmarks.rows import ITSELF, MEASURES

MARKS = {
    "picows": ("o", "#d62728"),
    "websockets": ("s", "#1f77b4"),
    "aiohttp": ("D", "#2ca02c"),
    "uvicorn": ("^", "#9467bd"),
    "ws": ("v", "#ff7f0e"),
    "floor": ("X", "#555555"),
    ITSELF: ("P", "#8c564b"),
}
"""The mark and the colour of each peer."""

LINE_HEIGHT = 0.34
"""Inches."""


def times_better(ratio: float, measure: str) -> float:
    """Above 1 where ours is the better one, whichever direction that is."""
    return ratio if MEASURES[measure].more_is_better else 1 / ratio


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture as SVG."""
    compared = [outcome for outcome in outcomes if _points(outcome)]
    mpl.rcParams.update({"svg.hashsalt": "wsmash", "svg.fonttype": "none", "font.size": 9})
    figure = Figure(figsize=(11, 1.6 + LINE_HEIGHT * len(compared)), layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, compared)
    for peer, (mark, colour) in MARKS.items():
        places = [(points[peer], line) for line, outcome in enumerate(compared) if peer in (points := _points(outcome))]
        if places:
            x, y = zip(*places, strict=True)
            label = "its own plain callback" if peer == ITSELF else peer
            axes.scatter(x, y, marker=mark, color=colour, s=34, label=label, zorder=3)
    for line, outcome in enumerate(compared):
        _mark_targets(axes, outcome, line)
        _tell_who_cannot(axes, outcome, line)
    if compared:
        figure.legend(loc="outside upper center", ncols=len(MARKS), frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _points(outcome: Outcome) -> dict[str, float]:
    """How many times better than each peer that was measured."""
    ratios = {peer: ratio_to(outcome, peer) for peer in MARKS}
    return {peer: times_better(ratio, outcome.row.measure.name) for peer, ratio in ratios.items() if ratio}


def _dress(axes: Axes, compared: Sequence[Outcome]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("times better than the peer (right of 1: ours is better)")
    axes.set_yticks(range(len(compared)), [outcome.row.title for outcome in compared])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.grid(axis="x", which="both", color="#dddddd", linewidth=0.6)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _mark_targets(axes: Axes, outcome: Outcome, line: int) -> None:
    """A tick where each target is, in its peer's colour; a ring round what falls short of it."""
    points = _points(outcome)
    for judged in judgements(outcome):
        target: Target = judged.target
        if target.measure != outcome.row.measure.name or target.against not in points:
            continue
        _, colour = MARKS[target.against]
        axes.scatter([times_better(target.bound, target.measure)], [line], marker="|", color=colour, s=160, zorder=2)
        if not judged.is_met:
            place = points[target.against]
            axes.scatter([place], [line], marker="o", facecolor="none", edgecolor="red", s=150, zorder=4)


def _tell_who_cannot(axes: Axes, outcome: Outcome, line: int) -> None:
    absent = [peer for peer in SHOWN if not PEERS[peer].can(outcome.row)]
    if absent:
        axes.annotate(
            "cannot: " + ", ".join(absent), (1, line), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=7, color="#888888",
        )
