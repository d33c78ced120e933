"""Draw the state tables as Mermaid diagrams, between the markers of a document.

    python tools/diagrams.py [--check] [FILE ...]

A diagram stands between `<!-- diagram: LIFE -->` and `<!-- end -->`; the names
are those of `DIAGRAMS`. With --check nothing is written, and a document whose
diagrams differ from the tables is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from wsmash.sansio.states import ASSEMBLY, LIFE, SERVER_LIFE

ROOT = Path(__file__).parent.parent

DIAGRAMS: Mapping[str, Mapping[tuple[Enum, Enum], Enum]] = {
    "LIFE": dict(LIFE.items()),
    "SERVER_LIFE": dict(SERVER_LIFE.items()),
    "ASSEMBLY": dict(ASSEMBLY.items()),
}

_MARKED = re.compile(r"(<!-- diagram: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BEGIN = re.compile(r"<!-- diagram: ")


def draw(table: Mapping[tuple[Enum, Enum], Enum]) -> str:
    """The table as a fenced Mermaid state diagram; it begins in the state of the first row."""
    (first, _), *_ = table
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.name}"]
    lines += [f"    {state.name} --> {after.name}: {signal.name}" for (state, signal), after in table.items()]
    left = {state for state, _ in table}
    ends = [after for after in dict.fromkeys(table.values()) if after not in left]
    lines += [f"    {end.name} --> [*]" for end in ends]
    return "\n".join([*lines, "```", ""])


def fill(text: str) -> str:
    """The document with the diagrams that its markers name.

    Raises:
        ValueError: a marker names no table, or is not closed.
    """

    def diagram(match: re.Match[str]) -> str:
        begin, name, old, end = match.groups()
        if name not in DIAGRAMS:
            raise ValueError(f"no table is named {name}: the tables are {', '.join(DIAGRAMS)}")
        if _BEGIN.search(old):
            raise ValueError(f"the diagram {name} has no end: write <!-- end --> after it")
        return begin + draw(DIAGRAMS[name]) + end

    filled, count = _MARKED.subn(diagram, text)
    if count != len(_BEGIN.findall(text)):
        raise ValueError("a diagram has no end: write <!-- end --> on a line after it")
    return filled


def main(arguments: Sequence[str]) -> int:
    """Write or check the documents; how many were wrong."""
    parser = argparse.ArgumentParser(description="Draw the state tables in documents.")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a diagram differs")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="by default ARCHITECTURE.md")
    options = parser.parse_args(arguments)
    wrong = 0
    for path in options.files or [ROOT / "ARCHITECTURE.md"]:
        text = path.read_text(encoding="utf-8")
        filled = fill(text)
        if filled == text:
            continue
        if options.check:
            wrong += 1
            print(f"{path}: the diagrams differ from the tables; run python tools/diagrams.py", file=sys.stderr)
        else:
            path.write_text(filled, encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
