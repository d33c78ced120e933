"""What is said of a run: a summary, and its place on a page."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest

from chaos import results
from chaos.checker import Report

WANTED = Namespace(broker="nats", seed=3, seconds=300.0)
REPORT = Report(
    messages=201_234, faults=Counter({"kill node": 7}), violations=Counter({"lost": 2}), texts=["lost: two"]
)


def test_summary() -> None:
    """It has the numbers, what is wrong, and how much of it in its last line."""
    lines = results.summary(REPORT, WANTED).splitlines()
    assert lines[0] == "nats, seed 3, 300 s with faults"
    assert any(line.split() == ["201", "234", "messages", "acknowledged"] for line in lines)
    assert lines[-2:] == ["lost: two", "2 violations"]


def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results of a broker take the place of its former ones, and of those alone."""
    page = tmp_path / "chaos.md"
    page.write_text(
        "a\n<!-- results: nats -->\nformer ones\n<!-- end -->\nb\n<!-- results: redis -->\nkept\n<!-- end -->\n"
    )
    monkeypatch.setattr(results, "PAGE", page)
    results.write(REPORT, WANTED)
    text = page.read_text()
    assert "former ones" not in text and "kept" in text and text.startswith("a\n")
    assert "`make chaos BROKER=nats SECONDS=300 SEED=3`" in text
    assert "| messages acknowledged | 201 234 |" in text
    results.write(REPORT, WANTED)
    assert page.read_text() == text


def test_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that has no place for them is not written."""
    page = tmp_path / "chaos.md"
    page.write_text("nothing\n")
    monkeypatch.setattr(results, "PAGE", page)
    with pytest.raises(SystemExit, match="no place"):
        results.write(REPORT, WANTED)
