"""ARCHITECTURE.md names every file of the package."""

from __future__ import annotations

import re

from documents import ROOT

PACKAGE = ROOT / "src" / "wsmash"


def test_every_file_is_in_the_table() -> None:
    """A module is named by its own name, or by that of the package it is in, as `options` is."""
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Seams")[0]
    named = set(re.findall(r"`(\w+)`", table)) | {"_version"}
    files = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    assert [str(each) for each in files if each.stem != "__init__" and named.isdisjoint(each.parts)] == []


def test_the_table_names_nothing_else() -> None:
    """What it names is there: a module, a package, or a part of the engine."""
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Seams")[0]
    there = {path.stem for folder in (PACKAGE, ROOT / "native") for path in folder.rglob("*") if path.name[0] != "."}
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ") and line.count("|") == 4]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} - there == set()
