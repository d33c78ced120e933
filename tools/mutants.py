"""What came of `make mutants`: for each file how many mutants were killed, and what each survivor changed.

Reads what mutmut left in `mutants/`; fails where fewer than 90 % of those that ran were killed.
"""

from __future__ import annotations

import ast
import difflib
import json
import sys
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent / "mutants"
ENOUGH: Final = 0.9

_SURVIVED: Final = 0  # the tests passed
_UNTESTED: Final = 33  # no test runs the function


class File(NamedTuple):
    """One file that was mutated."""

    name: str
    killed: int
    left: int
    survivors: list[tuple[str, str]]


def read(meta: Path) -> File:
    """What became of the mutants of one file."""
    source = meta.with_suffix("")
    codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    functions = functions_of(source.read_text(encoding="utf-8"))
    alive = [key.rpartition(".")[2] for key, code in codes.items() if code in (_SURVIVED, _UNTESTED)]
    left = sum(code is None for code in codes.values())
    survivors = [(readable(name), change(functions, name)) for name in alive]
    return File(str(source.relative_to(ROOT / "src")), len(codes) - len(alive) - left, left, survivors)


def functions_of(source: str) -> dict[str, list[str]]:
    """The lines of each function, the mutants and the originals among them."""
    lines = source.splitlines()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return {node.name: lines[node.lineno : node.end_lineno] for node in found}


def readable(mutant: str) -> str:
    """The function's own name."""
    return mutant.partition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def change(functions: dict[str, list[str]], mutant: str) -> str:
    """The lines that differ."""
    original = functions.get(mutant.partition("__mutmut_")[0] + "__mutmut_orig", [])
    differ = difflib.ndiff(original, functions.get(mutant, []))
    return " ".join(line[:2] + line[2:].strip() for line in differ if line[:2] in ("- ", "+ "))


def main() -> int:
    """Print all of it; 1 where too many survived."""
    files = [read(meta) for meta in sorted(ROOT.glob("src/**/*.meta"))]
    for file in files:
        for function, changed in file.survivors:
            print(f"{file.name} {function}: {changed}")
    print()
    for file in files:
        left = f", not tried {file.left}" if file.left else ""
        print(f"{file.name}: killed {file.killed}, survived {len(file.survivors)}{left}")
    killed, survived = sum(file.killed for file in files), sum(len(file.survivors) for file in files)
    share = killed / max(killed + survived, 1)
    print(f"together: killed {killed} of {killed + survived}, which is {share:.1%}")
    return share < ENOUGH


if __name__ == "__main__":
    sys.exit(main())
