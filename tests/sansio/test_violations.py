"""The table of violations: each has a stable number, a close code, a text and an exception."""

from __future__ import annotations

import pytest

from wsmash.constants import MAX_CLOSE_REASON, may_be_sent
from wsmash.errors import MessageTooBig, ProtocolError
from wsmash.sansio.closing import check_close
from wsmash.sansio.violations import Violation

STABLE = {
    "RESERVED_BITS": (1, 1002),
    "RESERVED_OPCODE": (2, 1002),
    "UNMASKED": (3, 1002),
    "MASKED": (4, 1002),
    "LENGTH_NOT_MINIMAL": (5, 1002),
    "LENGTH_OUT_OF_RANGE": (6, 1002),
    "CONTROL_FRAGMENTED": (7, 1002),
    "CONTROL_TOO_LONG": (8, 1002),
    "CONTINUATION_FIRST": (9, 1002),
    "MESSAGE_UNFINISHED": (10, 1002),
    "CLOSE_TOO_SHORT": (11, 1002),
    "CLOSE_CODE_INVALID": (12, 1002),
    "CLOSE_REASON_INVALID": (13, 1007),
    "TEXT_INVALID": (14, 1007),
    "DEFLATE_INVALID": (15, 1007),
    "MESSAGE_TOO_BIG": (16, 1009),
    "TOO_MANY_FRAGMENTS": (17, 1008),
}


def test_numbers_and_codes_are_stable() -> None:
    """Numbers never change, since native code reports them; nor does the close code of any."""
    assert {each.name: (each.value, each.code) for each in Violation} == STABLE


@pytest.mark.parametrize("violation", Violation, ids=lambda violation: violation.name)
def test_each_makes_a_close_frame_and_an_exception(violation: Violation) -> None:
    """Its text fits a close frame beside its code, and its exception says both."""
    assert may_be_sent(violation.code)
    assert type(violation.code) is int
    check_close(violation.code, violation.text)
    assert 0 < len(violation.text) <= MAX_CLOSE_REASON
    assert violation.text.isascii()
    error = violation.exception()
    assert type(error) is (MessageTooBig if violation.code in (1008, 1009) else ProtocolError)
    assert (str(error), error.code) == (violation.text, violation.code)
    assert error is not violation.exception()


def test_texts_differ() -> None:
    """Each text names one fault."""
    assert len({each.text for each in Violation}) == len(Violation)
