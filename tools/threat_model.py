"""Write the column "shown by" of docs/threat-model.md from the tests' marks, or with --check fail where it differs.

    python tools/threat_model.py [--check]

A test says which cases it shows with `@pytest.mark.case(36, 37)`. The other columns
of the page are written by hand.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "threat-model.md"
TESTS = ROOT / "tests"

ROW = re.compile(r"^\| (\d+) \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)
"""A case: its number, the input or fault, what is promised, and what shows it."""

NOTHING = "**nothing**"
"""What stands in the last column where no test shows the case; a test of the page's own refuses that."""


class WrongMark(Exception):
    """A mark that says nothing, and where it stands."""


def marks(folder: Path) -> dict[str, set[int]]:
    """The cases of each test that is marked, by `file::function`, relative to the folder.

    Raises:
        WrongMark: a mark belongs to no test, or holds something else than numbers.
    """
    found: dict[str, set[int]] = {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if "node_modules" in name:
            continue
        source = path.read_text(encoding="utf-8")
        if "mark.case(" not in source:
            continue
        tree = ast.parse(source)
        seen: set[ast.Call] = set()
        for test, calls in _tests(tree, ()):
            seen.update(calls)
            numbers = {number for call in calls for number in _numbers(call, name)}
            if numbers:
                found[f"{name}::{test}"] = numbers
        for call in _calls(tree):
            if call not in seen:
                raise WrongMark(f"tests/{name}:{call.lineno}: the mark belongs to no test")
    return found


def _tests(body: ast.Module | ast.ClassDef, inherited: tuple[ast.Call, ...]) -> Iterator[tuple[str, list[ast.Call]]]:
    """The tests of a module or a class, each with the marks that it has or that are given to all in it."""
    for node in body.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
        ):
            inherited += tuple(_calls(node.value))
    for node in body.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own = inherited + tuple(call for each in node.decorator_list for call in _calls(each))
            if isinstance(node, ast.ClassDef):
                for test, calls in _tests(node, own):
                    yield f"{node.name}::{test}", calls
            elif node.name.startswith("test_"):
                yield node.name, list(own)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Each `pytest.mark.case(...)` in here, that of a `pytest.param` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
            yield node


def _numbers(call: ast.Call, name: str) -> Iterator[int]:
    if not call.args:
        raise WrongMark(f"tests/{name}:{call.lineno}: the mark names no case")
    for argument in call.args:
        if not (isinstance(argument, ast.Constant) and type(argument.value) is int):
            raise WrongMark(f"tests/{name}:{call.lineno}: a case is a number, written out")
        yield argument.value


def page(text: str, found: dict[str, set[int]]) -> str:
    """The page, with the last column as the marks say."""

    def row(match: re.Match[str]) -> str:
        tests = [f"`{test}`" for test, numbers in found.items() if int(match[1]) in numbers]
        return f"| {match[1]} | {match[2]} | {match[3]} | {'<br>'.join(tests) or NOTHING} |"

    return ROW.sub(row, text)


def cases(text: str) -> list[int]:
    """The numbers of the page's rows, in their order."""
    return [int(match[1]) for match in ROW.finditer(text)]


def faults(text: str, found: dict[str, set[int]]) -> list[str]:
    """What is wrong between the page and the marks, a line each."""
    listed = cases(text)
    shown = set().union(*found.values())
    lines = [f"case {number} has no test" for number in listed if number not in shown]
    lines += [
        f"{test} is marked with case {number}, which the page does not have"
        for test, numbers in found.items()
        for number in sorted(numbers.difference(listed))
    ]
    lines += [f"case {number} stands there twice" for number in sorted(set(listed)) if listed.count(number) > 1]
    return lines


def main() -> int:
    """Write the column, or check it."""
    text, found = DOCUMENT.read_text(encoding="utf-8"), marks(TESTS)
    for line in faults(text, found):
        print(line)
    if sys.argv[1:] == ["--check"]:
        if text != page(text, found):
            print(f"{DOCUMENT.name} is not what the tests' marks say: run python tools/threat_model.py")
            return 1
        return 1 if faults(text, found) else 0
    DOCUMENT.write_text(page(text, found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
