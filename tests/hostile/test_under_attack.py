"""That the latency under attack can be measured; its bound is for `make attacks`, on a machine that is quiet."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fixtures.served import ROOT, environment
from hostile.attacks import ATTACKS
from hostile.under_attack import HEADER, PROGRAM

MEASURE = PROGRAM.with_name("under_attack.py")


def test_each_group_has_attacks() -> None:
    """All of C to I, and each attack can be made and names its cases."""
    assert {each.group for each in ATTACKS.values()} == set("CDEFGHI")
    for each in ATTACKS.values():
        assert each.cases and (each.data() or each.ends) and each.request().startswith(b"GET /")


@pytest.mark.parametrize("attack", ["pings", "close codes that may not be"])
def test_a_quick_round(attack: str, engine: str) -> None:
    """Honest peers are answered during an attack that goes on for ever, and during one that comes again and again."""
    command = [sys.executable, str(MEASURE), "--quick", "--engines", engine, "--attacks", attack, "--honest", "10"]
    found = subprocess.run(
        command, capture_output=True, text=True, env=environment("auto"), cwd=ROOT, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    assert HEADER in found.stdout and "Each ratio is to be below 2, and " in found.stdout
    (row,) = [each for each in found.stdout.splitlines() if each.startswith(f"| {engine} ")]
    cells = row.split("|")
    assert cells[1].strip() == engine and cells[4].strip() == attack
    assert all(0 < float(each) < 5000 for each in cells[5:9])
