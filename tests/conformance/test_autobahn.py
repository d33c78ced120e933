"""A selection of the Autobahn test suite that takes about a minute, against both roles; `make conformance` runs all."""

from __future__ import annotations

import pytest

from conformance import run
from conformance.run import Verdict

SELECTION = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.1.6,9.2.6,9.3.1,9.4.1,9.7.1,10.*,12.1.[1-5],12.4.3,12.5.11,13.*.[1-2]"


@pytest.mark.conformance
@pytest.mark.timeout(600)  # the first run builds the suite
def test_selection() -> None:
    """Every selected case is OK in both roles, in its messages and in its closing."""
    if reason := run.why_not():
        pytest.skip(reason)
    verdicts = run.run_both(SELECTION)
    assert set(verdicts) == {"server", "client"}
    for role, found in verdicts.items():
        assert len(found) > 200
        assert run.bad_cases(found) == [], f"{role}: {list(run.report(verdicts))}"


@pytest.mark.parametrize(
    ("case", "behavior", "closing", "good"),
    [
        ("1.1.1", "OK", "OK", True),
        ("1.1.1", "OK", "WRONG CODE", False),
        ("1.1.1", "FAILED", "OK", False),
        ("1.1.1", "INFORMATIONAL", "OK", False),
        ("7.1.6", "INFORMATIONAL", "INFORMATIONAL", True),
        ("7.1.6", "FAILED", "INFORMATIONAL", False),
        ("6.4.1", "NON-STRICT", "OK", False),
        ("12.1.1", "UNIMPLEMENTED", "OK", False),
        ("12.1.1", "MISSING", "MISSING", False),
    ],
)
def test_judging(case: str, behavior: str, closing: str, good: bool) -> None:
    """Only OK is good, and INFORMATIONAL where the suite never says more."""
    assert Verdict(behavior, closing).is_good(case) is good


def test_table() -> None:
    """The page counts each group and role, and names what was run a second time."""
    server = {"1.1.1": Verdict("OK", "OK"), "7.1.6": Verdict("INFORMATIONAL", "INFORMATIONAL")}
    client = {"1.1.1": Verdict("OK", "OK", again=True), "7.1.6": Verdict("OK", "UNCLEAN")}
    page = run.table({"server": server, "client": client})
    assert "| 1 Framing | server | OK 1 | OK 1 |" in page
    assert "| 7 Close handling | client | OK 1 | UNCLEAN 1 |" in page
    assert "| **all 2** | server | OK 1, INFORMATIONAL 1 | OK 1, INFORMATIONAL 1 |" in page
    assert "client 1.1.1" in page
