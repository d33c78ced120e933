"""docs/guide.md has every counter in its table, in the words of the code."""

from __future__ import annotations

import dataclasses
import re

from documents import ROOT
from tools.options_table import meanings
from wsmash import ServerCounters
from wsmash.runtime.owner import Counters

ROWS = re.findall(
    r"^\| `(\w+)` \| (.+) \|$",
    (ROOT / "docs" / "guide.md").read_text("utf-8").partition("### What is counted")[2].partition("\n## ")[0],
    re.MULTILINE,
)


def test_every_counter_is_there() -> None:
    """A counter that is added is missed here until the guide says what it counts; a client's stand last."""
    counters = [each.name for each in dataclasses.fields(ServerCounters)]
    shared = [each.name for each in dataclasses.fields(Counters)]
    assert [name for name, _ in ROWS] == [each for each in counters if each not in shared] + shared


def test_each_is_what_the_code_says() -> None:
    """The guide's words are those of the docstrings."""
    said = meanings(Counters) | meanings(ServerCounters)
    assert dict(ROWS) == {name: meaning.rstrip(".") for name, meaning in said.items()}
