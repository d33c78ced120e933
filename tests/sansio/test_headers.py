"""Headers as a mapping, and the parsers of the lists in them."""

import contextlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.sansio.headers import (
    MAX_EXTENSIONS,
    Extension,
    Headers,
    checked_pairs,
    format_extension,
    holds_token,
    parse_extensions,
    parse_tokens,
)

LONG = 200_000
"""Characters of a text on which work that is not linear would run into the test's timeout."""


def test_names_match_in_any_case() -> None:
    """A name finds its lines in any case, and is spelled as it came first."""
    headers = Headers([("Accept", "a"), ("X", "1"), ("ACCEPT", "b")])
    assert headers["accept"] == "a, b"
    assert headers.get_all("aCCept") == ("a", "b")
    assert "ACCept" in headers
    assert list(headers) == ["Accept", "X"]
    assert len(headers) == 2
    assert headers.pairs == (("Accept", "a"), ("X", "1"), ("ACCEPT", "b"))


def test_missing_names() -> None:
    """What is not there is a KeyError, None, an empty tuple, and not in it."""
    headers = Headers()
    with pytest.raises(KeyError):
        headers["X"]
    assert headers.get("X") is None
    assert headers.get_all("X") == ()
    assert "X" not in headers
    assert 5 not in headers  # type: ignore[comparison-overlap]
    assert not headers


def test_made_from_a_mapping_or_headers() -> None:
    """A mapping and other headers may be given in place of pairs, and lines stay lines."""
    headers = Headers({"A": "1"})
    assert headers.pairs == (("A", "1"),)
    two = Headers([("A", "1"), ("a", "2")])
    assert Headers(two).pairs == two.pairs


def test_equality_and_hash() -> None:
    """Headers are equal to what has the same names in any case with the same values."""
    headers = Headers([("A", "1"), ("B", "2")])
    same = Headers([("b", "2"), ("a", "1")])
    assert headers == same
    assert hash(headers) == hash(same)
    assert headers == {"a": "1", "B": "2"}
    assert headers != {"a": "1"}
    assert headers != Headers([("A", "2"), ("B", "2")])
    assert Headers([("A", "1"), ("A", "2")]) != Headers([("A", "2"), ("A", "1")])
    assert headers != 5


def test_read_only() -> None:
    """Headers can't be changed, and hold no dict of attributes."""
    headers = Headers([("A", "1")])
    with pytest.raises(TypeError):
        headers["A"] = "2"  # type: ignore[index]
    with pytest.raises(AttributeError):
        headers.pairs = ()  # type: ignore[misc]
    assert not hasattr(headers, "__dict__")
    assert pickle.loads(pickle.dumps(headers)) == headers


@pytest.mark.case(106)
@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "Cookie", "SET-COOKIE"])
def test_repr_hides_secrets(name: str) -> None:
    """The values of headers that hold credentials are not in the repr (hostile case 106)."""
    text = repr(Headers([(name, "hunter2"), ("Accept", "shown")]))
    assert "hunter2" not in text
    assert name in text
    assert "shown" in text


def test_checked_pairs() -> None:
    """Good headers come as pairs, without the whitespace around their values."""
    assert checked_pairs({"X-A": " é\t"}) == (("X-A", "é"),)
    assert checked_pairs([("A", "1"), ("A", "")]) == (("A", "1"), ("A", ""))
    assert checked_pairs(Headers([("A", "1"), ("A", "2")])) == (("A", "1"), ("A", "2"))


@pytest.mark.case(25)
@pytest.mark.parametrize("name", ["", "A B", "A:", "A\r\n", "A\0", "Ä", "a(b)", "a\x7f"])
def test_bad_names(name: str) -> None:
    """A name that is no token is refused before it could be written (hostile case 25)."""
    with pytest.raises(ValueError, match="not a token"):
        checked_pairs([(name, "value")])


@pytest.mark.case(25)
@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\x1f", "\x7f", "€", "\u2028"])
def test_bad_values(bad: str) -> None:
    """A value with a control character or beyond Latin-1 is refused, and not shown (hostile case 25)."""
    with pytest.raises(ValueError, match="X-Token") as caught:
        checked_pairs({"X-Token": f"hunter2{bad}Injected: yes"})
    assert "hunter2" not in str(caught.value)
    assert repr(bad) in str(caught.value)


@pytest.mark.parametrize("headers", [["ab"], "ab", [("a",)], [("a", 5)], [(b"a", "b")], {"a": None}, [5]])
def test_headers_of_another_type(headers: object) -> None:
    """What is not made of str is a TypeError, which names what is wrong."""
    with pytest.raises(TypeError, match=r"pairs|the header 'a' must be a str"):
        checked_pairs(headers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        ([""], ()),
        ([" , ,\t"], ()),
        (["a"], ("a",)),
        (["a,b , c", "d"], ("a", "b", "c", "d")),
        ([",a,,b,"], ("a", "b")),
        (["a, a"], ("a", "a")),
        (["__proto__, constructor, __class__"], ("__proto__", "constructor", "__class__")),
    ],
)
def test_parse_tokens(values: list[str], expected: tuple[str, ...]) -> None:
    """A comma list may be spread over lines, and its empty elements are skipped (RFC 9110 5.6.1)."""
    assert parse_tokens(values) == expected


@pytest.mark.case(6)
@pytest.mark.parametrize("value", ["a b", "a;b", '"a"', "a/b", "é", "a\x85", "\xa0a", "a\n", "b" + " " * LONG + "x"])
def test_parse_tokens_refusals(value: str) -> None:
    """What is no list of tokens is refused, in linear time (hostile case 6)."""
    with pytest.raises(ValueError, match="not a token") as caught:
        parse_tokens([value])
    assert len(str(caught.value)) < 200


@pytest.mark.case(11)
def test_holds_token() -> None:
    """A token is found in any case, as a whole, beside what is malformed (hostile case 11)."""
    assert holds_token(["keep-alive, UPGRADE"], "upgrade")
    assert holds_token(["a b/3", "\tUpgrade "], "upgrade")
    assert not holds_token(["notupgrade", "upgrade2", "upgrade x", ""], "upgrade")
    assert not holds_token(["upgrade\xa0"], "upgrade")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        ("a", (Extension("a"),)),
        ("a, ,b", (Extension("a"), Extension("b"))),
        ("a;x", (Extension("a", (("x", None),)),)),
        ("a ; x = 1 ;\ty", (Extension("a", (("x", "1"), ("y", None))),)),
        ('a;x="1"', (Extension("a", (("x", "1"),)),)),
        (r'a;x="\1\0"', (Extension("a", (("x", "10"),)),)),
        ("a;x=1;x=2", (Extension("a", (("x", "1"), ("x", "2"))),)),
        ("__proto__;constructor=__class__", (Extension("__proto__", (("constructor", "__class__"),)),)),
    ],
)
def test_parse_extensions(value: str, expected: tuple[Extension, ...]) -> None:
    """Extensions have parameters with and without values, which may be quoted (RFC 6455 9.1)."""
    assert parse_extensions([value]) == expected


def test_parse_extensions_of_several_lines() -> None:
    """Several lines make one list (RFC 6455 9.1)."""
    assert parse_extensions(["a;x", "b"]) == (Extension("a", (("x", None),)), Extension("b"))


@pytest.mark.case(5, 7)
@pytest.mark.parametrize(
    "value",
    [
        ";",
        "a;",
        "a;;b",
        "a;=1",
        "a;b=",
        'a;b=""',
        'a;b="',
        'a;b="x',
        'a;b=x"',
        'a;b="x"y',
        'a;b="x,y"',
        'a;b="x;y"',
        'a;b="x=y"',
        'a;b="x y"',
        'a;b="x"y"',
        'a;b="x\\"',
        'a;b="x\\\\"',
        'a;b="\\\\"',
        'a;b="x\\,y"',
        "a b",
        "a=b",
        "a;b=c=d",
        "a;b\x00",
        "a;b=é",
        "a\x85",
        'a;b="' + "\\c" * LONG,
        "a;" + "b;" * LONG,
        "a" + " " * LONG + "b",
        ",".join(["a"] * (MAX_EXTENSIONS + 1)),
        "a" + ";b" * (MAX_EXTENSIONS + 1),
    ],
)
def test_parse_extensions_refusals(value: str) -> None:
    """What is malformed or has no end is refused, in linear time (hostile cases 5 and 7)."""
    with pytest.raises(ValueError, match=r"extension") as caught:
        parse_extensions([value])
    assert len(str(caught.value)) < 250


def test_as_many_extensions_as_are_taken() -> None:
    """The bounds themselves are within bounds, and empty elements don't count."""
    assert len(parse_extensions([", ,".join(["a"] * MAX_EXTENSIONS)])) == MAX_EXTENSIONS
    assert len(parse_extensions(["a" + ";b" * MAX_EXTENSIONS])[0].params) == MAX_EXTENSIONS


TOKEN = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1)
EXTENSION = st.builds(Extension, TOKEN, st.lists(st.tuples(TOKEN, st.none() | TOKEN), max_size=5).map(tuple))


@given(st.lists(EXTENSION, max_size=MAX_EXTENSIONS))
def test_extensions_round_trip(extensions: list[Extension]) -> None:
    """What is written is read back as it was, in one line and in several."""
    written = list(map(format_extension, extensions))
    assert parse_extensions(written) == tuple(extensions)
    assert parse_extensions([", ".join(written)]) == tuple(extensions)


def reference(text: str) -> list[tuple[str, list[tuple[str, str | None]]]] | None:
    """RFC 6455 9.1 read one character at a time, the plain way; None for what is malformed."""
    position = 0

    def skip() -> None:
        nonlocal position
        while text[position : position + 1] in (" ", "\t"):
            position += 1

    def token() -> str | None:
        nonlocal position
        start = position
        while position < len(text) and text[position] not in ' \t,;="\\\x7f':
            position += 1
        return text[start:position] or None

    def quoted() -> str | None:
        nonlocal position
        position += 1
        found = ""
        while position < len(text) and text[position] != '"':
            position += text[position] == "\\"
            found += text[position : position + 1]
            position += 1
        if position >= len(text):
            return None
        position += 1
        return found if found and not set(found) & set(' \t,;="\\\x7f') else None

    extensions: list[tuple[str, list[tuple[str, str | None]]]] = []
    while True:
        skip()
        if text[position : position + 1] not in (",", ""):
            name = token()
            if name is None:
                return None
            params: list[tuple[str, str | None]] = []
            extensions.append((name, params))
            skip()
            while text[position : position + 1] == ";":
                position += 1
                skip()
                key, value = token(), None
                skip()
                if text[position : position + 1] == "=":
                    position += 1
                    skip()
                    value = quoted() if text[position : position + 1] == '"' else token()
                    if value is None:
                        return None
                if key is None:
                    return None
                params.append((key, value))
                skip()
        if position == len(text):
            return extensions
        if text[position] != ",":
            return None
        position += 1


@given(st.text(' ab,;="\\', max_size=20))
def test_extensions_against_a_plain_reading(text: str) -> None:
    """Splitting at separators that may be quoted reads the same as the grammar, letter by letter."""
    expected = reference(text)
    try:
        found = parse_extensions([text])
    except ValueError:
        assert expected is None
    else:
        assert [(name, list(params)) for name, params in found] == expected


@given(st.lists(st.text()))
def test_any_text(values: list[str]) -> None:
    """No text raises anything but ValueError."""
    for parse in (parse_tokens, parse_extensions):
        with contextlib.suppress(ValueError):
            parse(values)
