"""Find the Python code blocks of the project's documents, each with the line where it starts.

A block whose info string is `python` is executed, one of `python no-run` is
only compiled; blocks of other languages are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent


class Block(NamedTuple):
    """One fenced block of Python."""

    document: Path
    line: int
    code: str
    is_run: bool

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def source(self) -> str:
        """The code, moved down so that a traceback names the document's own line."""
        return "\n" * self.line + self.code


def python_blocks(documents: list[Path]) -> Iterator[Block]:
    """Each Python block of these Markdown files, in order."""
    for document in documents:
        for token in MarkdownIt().parse(document.read_text(encoding="utf-8")):
            language, _, marks = token.info.strip().partition(" ")
            if token.type == "fence" and language in {"python", "py"}:
                if marks not in {"", "no-run"}:
                    raise ValueError(f"{document.name}: a Python block may be marked no-run, not {marks!r}")
                assert token.map is not None
                yield Block(document, token.map[0] + 1, token.content, is_run=not marks)


def documents() -> list[Path]:
    """README.md and what is in docs/."""
    return [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))) if path.exists()]
