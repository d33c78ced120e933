"""Fuzz whatever reads a peer's bytes, guided by what the Python of it runs through (Atheris).

    run.py [--seconds 60] [TARGET...]        each of the targets, for so long

It begins with tests/fuzz/corpus/TARGET. What it has found worth keeping is in
build/fuzz/TARGET, and is where the next run goes on; all that it has said is in
build/fuzz/TARGET.log. An input that shows a fault, or
that the process dies of, is written to tests/fuzz/regressions, where the ordinary tests
run it from then on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"
LONGEST = 2000
"""Bytes of an input; a schedule uses up a few hundred."""

SLOWEST = 20
"""Seconds that one input may take. It takes a thousandth; a busy machine and the tracing make it more."""

TRACED = [
    "fixtures", "wsmash.addresses", "wsmash.auth", "wsmash.codecs", "wsmash.grammar", "wsmash.reception",
    "wsmash.routing", "wsmash.runtime", "wsmash.sansio", "wsmash.session", "wsmash.topics", "wsmash.transports",
    "wsmash.urls",
]  # fmt: skip
"""Whose branches guide the fuzzer."""

INSIDE = "--inside"
"""What the process that fuzzes is started with."""

NAMES = (
    "receiver", "sender", "engine", "frames", "inflate", "deflate",
    "request", "response", "extensions", "tokens", "retry", "origin", "forwarded", "redirect", "credentials",
    "url", "json", "envelope", "cast", "server",
)  # fmt: skip
"""Written here too, since the targets are imported by the process that traces them."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz whatever reads a peer's bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    wanted = parser.parse_args()
    targets = wanted.targets or NAMES
    failed = [name for name in targets if not start(name, wanted.seconds)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the inputs are in {REGRESSIONS.relative_to(ROOT)}")
    print(f"nothing found in {len(targets)} targets, {wanted.seconds} s each")


def start(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; whether nothing was found."""
    corpus = ROOT / "build" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    random = Random(0)
    for number in range(32):  # something to begin with beside what is kept
        seed = corpus / f"seed-{number}"
        seed.write_bytes(random.randbytes(32 << number % 6))
    command = [
        sys.executable, __file__, INSIDE, name, str(corpus), str(CORPUS / name), str(REGRESSIONS),
        f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST}", "-print_final_stats=1",
        f"-artifact_prefix={REGRESSIONS}/{name}-",
    ]
    log = corpus.with_suffix(".log")
    print(f"{name:<12}", end="", flush=True)
    with log.open("wb") as said:
        ended = subprocess.run(command, check=False, cwd=ROOT, stdout=said, stderr=said)
    print(told(log.read_text("utf-8", "replace"), ended.returncode), flush=True)
    return ended.returncode == 0


def told(log: str, status: int) -> str:
    """What a target's log comes to: a line, and the end of the log where something was found."""
    inputs = re.search(r"^stat::number_of_executed_units:\s*(\d+)", log, re.MULTILINE)
    count = f"{int(inputs[1]):,} inputs" if inputs else "ended early"
    if status == 0:
        return f"{count}, nothing found"
    return "\n".join([f"{count}, failed with status {status}; its log ends", *log.splitlines()[-40:]])


def fuzz(name: str, options: list[str]) -> None:
    """In that process: everything that is written in Python is traced, the reference above all."""
    import atheris  # there is one for some versions of Python only

    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    with atheris.instrument_imports(include=TRACED):
        from fuzz import judging
        from fuzz.targets import TARGETS
    judging.seldom = 100
    target = TARGETS[name]

    def once(data: bytes) -> None:
        found = target(data)
        if found:
            raise AssertionError(found)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        main()
