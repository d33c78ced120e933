"""Run the Autobahn test suite against both peers of echo.py, and judge what it reports.

    run.py                      every case; writes docs/conformance.md
    run.py --cases '1.*,6.4.*'  only these; writes nothing

More strict than the suite: NON-STRICT and UNIMPLEMENTED fail, and so does
INFORMATIONAL but for the three cases where the suite itself has no verdict.
The suite gives many cases half a second, so what fails while both roles
run side by side is run once more alone, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from wsmash import engine
from wsmash._version import __version__

ROOT = Path(__file__).parents[2]
SUITE = Path(os.environ.get("AUTOBAHN_TOOLS", ROOT.parent / "shared" / "tools" / "autobahn"))
ECHO = Path(__file__).parent / "echo.py"
TABLE = ROOT / "docs" / "conformance.md"
ROLES = ("server", "client")
WITHOUT_VERDICT = frozenset({"7.1.6", "7.13.1", "7.13.2"})
RUN_AGAIN_AT_MOST = 10

GROUPS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8 handling",
    7: "Close handling",
    9: "Limits and performance",
    10: "Automatic fragmentation",
    12: "Compression, payloads",
    13: "Compression, parameters",
}


class Verdict(NamedTuple):
    """What the suite says of one case: of the messages, and of how the connection ended."""

    behavior: str
    closing: str
    again: bool = False

    def is_good(self, case: str) -> bool:
        """Whether both are OK, or INFORMATIONAL where the suite never says more."""
        allowed = {"OK", "INFORMATIONAL"} if case in WITHOUT_VERDICT else {"OK"}
        return {self.behavior, self.closing} <= allowed


Verdicts = dict[str, Verdict]


def why_not() -> str | None:
    """The reason why the suite cannot run here, or None."""
    if not (SUITE / "run_server.py").exists():
        return "the Autobahn tools are not on this machine; AUTOBAHN_TOOLS names their folder"
    return None


def build() -> None:
    """Build the suite where this has not happened yet, before two runs ask for it at once."""
    subprocess.run(["sh", str(SUITE / "setup.sh")], check=True, stdout=subprocess.DEVNULL)


def run(role: str, cases: str) -> Verdicts:
    """Run these cases against our server or our client."""
    return run_server(cases) if role == "server" else run_client(cases)


def run_server(cases: str) -> Verdicts:
    """Start our server, and let the suite's client at it."""
    peer = subprocess.Popen([sys.executable, str(ECHO), "server"], stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert peer.stdout is not None
        url = peer.stdout.readline().strip()
        return drive("run_server.py", url, "--cases", cases)
    finally:
        peer.terminate()
        peer.communicate(timeout=30)


def run_client(cases: str) -> Verdicts:
    """Let the suite's server start our client."""
    return drive("run_client.py", "--cmd", f"'{sys.executable}' '{ECHO}' client {{url}} {{agent}}", "--cases", cases)


def drive(script: str, *arguments: str) -> Verdicts:
    """Run one of the suite's scripts and read its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, str(SUITE / script), *arguments, "--agent", "wsmash", "--json", str(report)]
        told = subprocess.run(
            command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
        )
        if not report.exists():
            raise RuntimeError(f"{script} made no report:\n{told.stdout}")
        agents = json.loads(report.read_text(encoding="utf-8"))["agents"]
    found = {
        case: Verdict(row["behavior"], row["behaviorClose"])
        for rows in agents.values()
        for case, row in rows["cases"].items()
    }
    if not found:
        raise RuntimeError(f"{script} ran no case:\n{told.stdout}")
    if not all(verdict.is_good(case) for case, verdict in found.items()):
        print(told.stdout)
    return found


def environment() -> dict[str, str]:
    """What our peers are started with: this checkout's package."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def run_both(cases: str) -> dict[str, Verdicts]:
    """Run both roles side by side, then what failed once more, each role alone."""
    build()
    with ThreadPoolExecutor(len(ROLES)) as pool:
        verdicts = dict(zip(ROLES, pool.map(lambda role: run(role, cases), ROLES), strict=True))
    for role, found in verdicts.items():
        failed = bad_cases(found)
        if 0 < len(failed) <= RUN_AGAIN_AT_MOST:
            again = run(role, ",".join(failed))
            found.update({case: verdict._replace(again=True) for case, verdict in again.items()})
    return verdicts


def bad_cases(found: Verdicts) -> list[str]:
    """The cases that are not as they must be."""
    return [case for case, verdict in found.items() if not verdict.is_good(case)]


def table(verdicts: dict[str, Verdicts]) -> str:
    """The page docs/conformance.md."""
    again = {role: [case for case, verdict in found.items() if verdict.again] for role, found in verdicts.items()}
    repeated = "; ".join(f"{role} {', '.join(cases)}" for role, cases in again.items() if cases)
    rows = [
        f"| {group} {GROUPS.get(group, '')} | {role} | {counts(found, 'behavior')} | {counts(found, 'closing')} |"
        for group in sorted({group_of(case) for found in verdicts.values() for case in found})
        for role, found in ((role, of_group(every, group)) for role, every in verdicts.items())
    ]
    totals = [
        f"| **all {len(found)}** | {role} | {counts(found, 'behavior')} | {counts(found, 'closing')} |"
        for role, found in verdicts.items()
    ]
    return "\n".join([
        "# Conformance",
        "",
        "The [Autobahn test suite](https://github.com/crossbario/autobahn-testsuite) against this package's server and",
        "client, with permessage-deflate on. `make conformance` ran it and wrote this page.",
        "",
        "It fails unless every case is OK in both columns. INFORMATIONAL is allowed for 7.1.6, 7.13.1 and 7.13.2,",
        "where the suite has no verdict; NON-STRICT and UNIMPLEMENTED are not allowed.",
        "",
        f"* wsmash {__version__} on CPython {platform.python_version()}, its engine: {engine()}",
        "* autobahntestsuite 25.10.1",
        f"* cases run a second time, because the first failed beside the other role's run: {repeated or 'none'}",
        "",
        "| group | role | behavior | behaviorClose |",
        "|---|---|---|---|",
        *rows,
        *totals,
        "",
    ])


def group_of(case: str) -> int:
    """The first number of a case."""
    return int(case.split(".", maxsplit=1)[0])


def of_group(found: Verdicts, group: int) -> Verdicts:
    """The cases of one group."""
    return {case: verdict for case, verdict in found.items() if group_of(case) == group}


def counts(found: Verdicts, column: str) -> str:
    """How often each verdict was given, OK first."""
    counted = Counter(str(getattr(verdict, column)) for verdict in found.values())
    return ", ".join(f"{name} {counted[name]}" for name in sorted(counted, key=lambda name: (name != "OK", name)))


def report(verdicts: dict[str, Verdicts]) -> Iterable[str]:
    """A line for each role, and one for each case that is not as it must be."""
    for role, found in verdicts.items():
        yield f"{role}: {counts(found, 'behavior')}; closing: {counts(found, 'closing')}"
        for case in bad_cases(found):
            yield f"  {case}: {found[case].behavior}, closing {found[case].closing}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the Autobahn test suite against both roles.")
    parser.add_argument("--cases", default="*", help="globs over the case numbers, with commas; all by default")
    wanted = parser.parse_args()
    if reason := why_not():
        sys.exit(f"not run: {reason}")
    verdicts = run_both(wanted.cases)
    print("\n".join(report(verdicts)))
    if wanted.cases == "*":
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(table(verdicts), encoding="utf-8")
        print(f"wrote {TABLE.relative_to(ROOT)}")
    if any(bad_cases(found) for found in verdicts.values()):
        sys.exit("not every case is OK")


if __name__ == "__main__":
    main()
