"""Tokens and field values against the character tables of RFC 9110."""

import string

import pytest

from wsmash.grammar import is_field_value, is_token, shown

TCHAR = set("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters)
CHARACTERS = list(map(chr, range(0x180)))


def test_token_characters() -> None:
    """A token holds the characters of RFC 9110 5.6.2 and no other."""
    assert {character for character in CHARACTERS if is_token(character)} == TCHAR


def test_field_value_characters() -> None:
    """A field value holds tabs, visible ASCII, spaces and 0x80 to 0xFF (RFC 9110 5.5)."""
    allowed = {"\t", *map(chr, range(0x20, 0x7F)), *map(chr, range(0x80, 0x100))}
    assert {character for character in CHARACTERS if is_field_value(f"a{character}b")} == allowed


def test_empty_text() -> None:
    """An empty text is a field value, and no token."""
    assert is_field_value("")
    assert not is_token("")


@pytest.mark.case(104)
def test_shown_escapes_and_cuts() -> None:
    """What a message shows is escaped, and cut where it is long (hostile case 104)."""
    assert shown("a\x1b[31m\r\n") == r"'a\x1b[31m\r\n'"
    assert shown(b"\xff") == r"b'\xff'"
    assert shown("x" * 1_000_000) == f"{'x' * 75!r}..."
    assert shown("x" * 75) == repr("x" * 75)
