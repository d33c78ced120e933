"""The plain C under sanitizers: `wire_check.c`, built with vectors and without, and `output_check.c`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "native"
WIRE = [HERE / "wire_check.c", *(NATIVE / f"{name}.c" for name in ("mask", "utf8", "frame", "receiver"))]
OUTPUT = [HERE / "output_check.c", *(NATIVE / f"{name}.c" for name in ("output", "reactor"))]
FLAGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The C compiler with sanitizers, where both are there."""
    found = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if found is None or shutil.which(found.split()[0]) is None:
        pytest.skip("there is no C compiler")
    command = [*found.split(), "-fsanitize=address,undefined"]
    probe = tmp_path_factory.mktemp("probe") / "probe.c"
    probe.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    built = subprocess.run([*command, probe, "-o", probe.with_suffix("")], capture_output=True, check=False)
    if built.returncode or subprocess.run([probe.with_suffix("")], capture_output=True, check=False).returncode:
        pytest.skip("the C compiler has no sanitizers that run here")
    return command


def check(compiler: list[str], program: Path, sources: list[Path], *flags: str) -> None:
    """Build it and run it."""
    command = [*compiler, *FLAGS, *flags, f"-I{NATIVE}", *map(str, sources), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "all is well\n"), ran.stderr


@pytest.mark.case(34, 44)
@pytest.mark.parametrize("flag", ["-O3", "-DWS_PLAIN"])
def test_wire(compiler: list[str], tmp_path: Path, flag: str) -> None:
    """Masks, UTF-8, heads and the receiver do what naive ones do, and touch no byte that is not theirs."""
    check(compiler, tmp_path / "wire_check", WIRE, flag)


def test_output(compiler: list[str], tmp_path: Path) -> None:
    """What waits comes out whole and in order, however it is put in and taken; a slot's old events are nobody's."""
    check(compiler, tmp_path / "output_check", OUTPUT)
