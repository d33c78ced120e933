"""Write native/tables.h from the pure twin, or with --check fail where it differs.

    python tools/native_tables.py [--check]

The numbers of the protocol stand once, in Python; C reads them from this header.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from wsmash.constants import MAX_CONTROL_PAYLOAD, Opcode
from wsmash.sansio import frames
from wsmash.sansio.violations import Violation

HEADER = Path(__file__).parent.parent / "native" / "tables.h"

HEAD = """/* The numbers of RFC 6455 5, for C.
 *
 * Written by tools/native_tables.py from constants.py, sansio/frames.py and
 * sansio/violations.py; `make lint` fails where they differ.
 */
#ifndef WSMASH_TABLES_H
#define WSMASH_TABLES_H
"""

TAIL = """
#endif
"""

BITS = ("FIN", "RSV1", "RESERVED", "OPCODE", "MASKED", "LENGTH")
"""The parts of the first two bytes of a frame, by their names in `frames.py`."""


def lines() -> Iterator[str]:
    """One definition each, in the order of the files that they are from."""
    yield "/* -- constants.py */"
    yield f"#define WS_MAX_CONTROL_PAYLOAD {MAX_CONTROL_PAYLOAD}"
    for opcode in Opcode:
        yield f"#define WS_OPCODE_{opcode.name} {opcode.value:#x}"
    yield ""
    yield "/* -- frames.py */"
    for name in BITS:
        yield f"#define WS_{name} {getattr(frames, name):#04x}"
    yield f"#define WS_MAX_LENGTH UINT64_C({frames.MAX_LENGTH:#x})"
    yield ""
    yield "/* -- violations.py */"
    for violation in Violation:
        yield f"#define WS_FAULT_{violation.name} {violation.value}"


def header() -> str:
    """The whole file."""
    return HEAD + "\n" + "\n".join(lines()) + "\n" + TAIL


def main() -> int:
    """Write the header, or check it."""
    if sys.argv[1:] == ["--check"]:
        if not HEADER.exists() or HEADER.read_text(encoding="utf-8") != header():
            print(f"{HEADER.name} is not what the code says: run python tools/native_tables.py")
            return 1
        return 0
    HEADER.write_text(header(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
