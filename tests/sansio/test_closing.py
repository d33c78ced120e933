"""What is told of the end of a connection, and what a close frame of ours may hold."""

from __future__ import annotations

import pytest

from wsmash.constants import CloseCode
from wsmash.errors import ClosePair
from wsmash.sansio.closing import Closing, check_close, shortened


@pytest.mark.case(51)
@pytest.mark.parametrize(
    ("sent", "received", "outcome", "was_clean"),
    [
        (None, None, (1006, "why"), False),
        ((1000, "bye"), None, (1006, "why"), False),
        (None, (1001, "away"), (1001, "away"), False),
        ((1000, "bye"), (1001, "away"), (1001, "away"), True),
        ((1000, ""), (1005, ""), (1005, ""), True),
    ],
)
def test_outcome(sent: ClosePair | None, received: ClosePair | None, outcome: ClosePair, was_clean: bool) -> None:
    """The frame received is told, else 1006 and our own account; both frames make it clean (case 51)."""
    closing = Closing()
    closing.sent, closing.received, closing.why = sent, received, "why"
    assert closing.outcome == outcome
    assert type(closing.outcome[0]) is int
    error = closing.exception()
    assert (error.code, error.reason) == outcome
    assert (error.sent, error.received) == (sent, received)
    assert error.was_clean is was_clean


def test_a_new_closing_knows_nothing() -> None:
    """Before anything passed there is no frame, no deadline, and nothing to discard."""
    closing = Closing()
    assert (closing.sent, closing.received, closing.deadline) == (None, None, None)
    assert closing.outcome == (1006, "")
    assert str(closing.exception()) == "connection closed: 1006"


VALID_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_codes_that_may_be_sent() -> None:
    """Exactly the codes that the interface names pass; numbers of any size are answered."""
    for code in (*range(-1, 5100), 65536, 2**70):
        if code in VALID_CODES:
            check_close(code, "")
        else:
            with pytest.raises(ValueError, match=str(code)):
                check_close(code, "")


def test_a_close_code_may_be_a_name() -> None:
    """A CloseCode is an int."""
    check_close(CloseCode.GOING_AWAY, "")
    with pytest.raises(ValueError):
        check_close(CloseCode.ABNORMAL, "")


@pytest.mark.parametrize("code", [True, None, 1000.0, "1000", b"\x03\xe8"])
def test_a_code_of_another_type(code: object) -> None:
    """What is no int is a TypeError that shows it."""
    with pytest.raises(TypeError, match="close code"):
        check_close(code, "")  # type: ignore[arg-type]


@pytest.mark.case(35)
@pytest.mark.parametrize("reason", [None, b"bye", 5, ["bye"]])
def test_a_reason_of_another_type(reason: object) -> None:
    """What is no str is a TypeError that shows it: case 35."""
    with pytest.raises(TypeError, match="close reason"):
        check_close(1000, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["x" * 10_000, b"x" * 10_000])
def test_a_huge_value_is_cut(wrong: object) -> None:
    """A value of the wrong type is shown, but not all of it."""
    with pytest.raises(TypeError) as caught:
        check_close(wrong, "")  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200
    with pytest.raises(TypeError) as caught:
        check_close(1000, [wrong])  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("character", "size"), [("x", 1), ("ö", 2), ("€", 3), ("\U0001f600", 4)])
def test_the_longest_reason(character: str, size: int) -> None:
    """123 bytes of UTF-8 pass, not one more; bytes count, not characters."""
    most = 123 // size
    check_close(1000, character * most + "x" * (123 - most * size))
    with pytest.raises(ValueError, match="123"):
        check_close(1000, character * most + "x" * (124 - most * size))


@pytest.mark.parametrize("reason", ["\ud800", "a\udfffb", "\udc80" * 40])
def test_a_reason_with_a_lone_surrogate(reason: str) -> None:
    """What has no UTF-8 is a ValueError that says so."""
    with pytest.raises(ValueError, match="surrogate"):
        check_close(1000, reason)


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("", ""),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("€" * 41, "€" * 41),
        ("€" * 42, "€" * 41),
        ("x" + "€" * 41, "x" + "€" * 40),
        ("\U0001f600" * 31, "\U0001f600" * 30),
    ],
)
def test_shortened(reason: str, short: str) -> None:
    """A reason is cut to 123 bytes, between characters."""
    assert shortened(reason) == short


def test_shortened_takes_what_is_no_text() -> None:
    """A lone surrogate, as the system's own texts may hold, does not stop a connection from closing."""
    assert shortened("no such file: \udcff") == "no such file: ?"
