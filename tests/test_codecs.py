"""JSON in both directions: what is taken, what is refused, and by which error."""

from __future__ import annotations

import enum
import json
import math
import re
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash import codecs
from wsmash.codecs import decode_json, encode_json, is_json_message
from wsmash.errors import InvalidMessage

NAN = float("nan")
INFINITY = float("inf")


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass(slots=True, frozen=True)
class Slotted:
    value: object


class Move(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    player_name: str
    to: Point | None = None


class Say(TypedDict):
    text: str
    likes: list[int]


class Color(enum.Enum):
    RED = "red"
    NOTHING = NAN


class Text(str):
    """A str by another name, with a misleading form of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not the text"


class Real(float):
    pass


class Whole(int):
    pass


class Plain:
    pass


@dataclass
class Unresolved:
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821 - that it has no name is the case


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - JSON takes either kind


class TestIsJsonMessage:
    @pytest.mark.parametrize("value", [{}, [], {"a": 1}, OrderedDict(), Point(1), Slotted(1), Move("x")])
    def test_taken(self, value: object) -> None:
        """Dicts, lists, and instances of dataclasses and Structs are JSON to `send`."""
        assert is_json_message(value)

    @pytest.mark.parametrize(
        "value", ["", b"", None, 1, 1.5, True, (), set(), Point, Move, Plain(), object, dict, Color.RED]
    )
    def test_not_taken(self, value: object) -> None:
        """Everything else is not: not the classes themselves, not tuples or sets, not None."""
        assert not is_json_message(value)


class TestEncode:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "null"),
            (True, "true"),
            (-5, "-5"),
            (2**70, str(2**70)),
            (1.5, "1.5"),
            ("grüß \u0000 \U0001f600", '"grüß \\u0000 \U0001f600"'),
            ({}, "{}"),
            ({"a": [1, None, {"b": "null"}]}, '{"a":[1,null,{"b":"null"}]}'),
            ({1: 2, 2.5: 3}, '{"1":2,"2.5":3}'),
            ({"nan": 1, "inf": 2, "a nan": 3}, '{"nan":1,"inf":2,"a nan":3}'),
            ((1, 2), "[1,2]"),
            (Pair(1, 2), "[1,2]"),
            (Point(1.5), '{"x":1.5,"y":0.0}'),
            (Slotted(None), '{"value":null}'),
            (Move("a", Point(1, 2)), '{"playerName":"a","to":{"x":1,"y":2}}'),
            (Color.RED, '"red"'),
            (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
            (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
            (Text("x"), '"x"'),
            ({Text("k"): Text("v")}, '{"k":"v"}'),
            ([Real(1.5), Whole(3)], "[1.5,3]"),
            ([msgspec.Raw(b"[NaN]"), None], "[[NaN],null]"),  # Raw is passed on unseen: whoever uses it answers for it
        ],
    )
    def test_text(self, value: object, text: str) -> None:
        """JSON values, and what msgspec writes beside them, become compact JSON."""
        assert encode_json(value) == text

    @pytest.mark.parametrize("bad", [NAN, INFINITY, -INFINITY, Real("nan")])
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda bad: bad,
            lambda bad: [bad],
            lambda bad: (1, (bad,)),
            lambda bad: {bad},
            lambda bad: frozenset([bad]),
            lambda bad: Pair(1, bad),
            lambda bad: {"a": {"b": [None, bad]}},
            lambda bad: {bad: 1},
            lambda bad: [{"a": {bad: 1}}],
            Point,
            lambda bad: Slotted([Point(1, bad)]),
            lambda bad: Move("a", Point(bad)),
            lambda bad: {"null": "null", "x": Move("null", Point(1, bad))},
            lambda bad: [None] * 1000 + [bad],
        ],
    )
    def test_not_a_number(self, bad: float, wrap: Callable[[float], object]) -> None:
        """NaN and infinities are refused wherever they are: msgspec writes null for them."""
        with pytest.raises(ValueError, match=r"JSON has no (nan|inf|-inf)"):
            encode_json(wrap(bad))

    def test_not_a_number_in_an_enum(self) -> None:
        """An enum is its value."""
        with pytest.raises(ValueError, match="JSON has no nan"):
            encode_json([Color.NOTHING])

    @pytest.mark.parametrize("value", [Plain(), [Plain()], {"a": (Plain(),)}, Point(Plain()), {Plain()}])  # type: ignore[arg-type]
    def test_no_form(self, value: object) -> None:
        """What JSON has no form for is a TypeError that names its type."""
        with pytest.raises(TypeError, match="Plain"):
            encode_json(value)

    @pytest.mark.parametrize(
        "value", [Point, {"a": object()}, {None: 1}, {(1, 2): 3}, {Slotted(1): 2}, 1j, range(3), iter([1])]
    )
    def test_other_types(self, value: object) -> None:
        """Classes, keys that are no text, iterators and complex numbers are TypeErrors."""
        with pytest.raises(TypeError):
            encode_json(value)

    @pytest.mark.parametrize("value", ["\ud800", ["a\udfffb"], {"\ud800": 1}, Point("\ud800"), Text("\ud800")])  # type: ignore[arg-type]
    def test_lone_surrogate(self, value: object) -> None:
        """A lone surrogate is a ValueError that shows it escaped."""
        with pytest.raises(ValueError, match=r"lone surrogate, '\\ud"):
            encode_json(value)

    def test_value_that_holds_itself(self) -> None:
        """A circle is a ValueError, not a RecursionError."""
        circle: list[object] = []
        circle.append(circle)
        with pytest.raises(ValueError, match="holds itself"):
            encode_json(circle)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_standard_library_agrees(self, value: object) -> None:
        """Every value that the standard library writes strictly comes back from our text, and no other is written."""
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            with pytest.raises(ValueError, match="JSON has no"):
                encode_json(value)
        else:
            assert json.loads(encode_json(value)) == value


class TestDecode:
    @pytest.mark.parametrize("data", ['{"a":[1,2.5,null,"\u00fc"]}', '{"a":[1,2.5,null,"\u00fc"]}'.encode()])
    def test_any_json(self, data: str | bytes) -> None:
        """Text and UTF-8 are read alike."""
        assert decode_json(data) == {"a": [1, 2.5, None, "ü"]}

    def test_types(self) -> None:
        """Dataclasses, TypedDicts, Structs, unions and containers are made and checked."""
        assert decode_json('{"x":1}', Point) == Point(1.0)
        assert decode_json('{"text":"a","likes":[1]}', Say) == {"text": "a", "likes": [1]}
        assert decode_json(b'{"playerName":"a","to":{"x":1}}', Move) == Move("a", Point(1.0))
        assert decode_json("[1]", list[int]) == [1]
        assert decode_json("5", int | str) == 5
        assert decode_json('"a"', Literal["a", "b"]) == "a"
        assert decode_json("5", Annotated[int, msgspec.Meta(ge=5)]) == 5
        assert decode_json("5", Annotated[int, ["metadata that has no hash"]]) == 5

    @pytest.mark.parametrize(
        ("data", "kind", "said"),
        [
            ('{"x":"1"}', Point, "Expected `float`, got `str` - at `$.x`"),
            ("{}", Point, "missing required field `x`"),
            ('{"playerName":"a","to":{"x":[]}}', Move, "- at `$.to.x`"),
            ('{"playerName":"a","from":1}', Move, "unknown field `from`"),
            ('{"text":"a","likes":[1,2,"3"]}', Say, "Expected `int`, got `str` - at `$.likes[2]`"),
            ("4", Annotated[int, msgspec.Meta(ge=5)], "Expected `int` >= 5"),
            ("{}", list[int], "Expected `array`, got `object`"),
        ],
    )
    def test_wrong_field(self, data: str, kind: Any, said: str) -> None:
        """The error names the field by its path, and has msgspec's error as its cause."""
        with pytest.raises(InvalidMessage) as caught:
            decode_json(data, kind)
        assert said in str(caught.value)
        assert isinstance(caught.value.__cause__, msgspec.ValidationError)

    @pytest.mark.parametrize(
        "data",
        [
            *("", b"", " ", "{", '{"a"', "[1,]", "{'a':1}", "nul", "1 2", "NaN", "-Infinity", "01", "1e999", "\ufeff1"),
            *(b"\xff", b'"\xff"', b'"\xed\xa0\x80"', '"\ud800"', "\ud800", b'"\\ud800"', '"\n"', b"1" * 10_000),
        ],
    )
    @pytest.mark.parametrize("kind", [None, str, dict[str, Any], Move])
    def test_malformed(self, data: str | bytes, kind: Any) -> None:
        """What is not JSON is InvalidMessage whatever was asked for, with its cause."""
        with pytest.raises(InvalidMessage) as caught:
            decode_json(data, kind)
        assert caught.value.__cause__ is not None

    @pytest.mark.case(70)
    @pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":', '{"likes":['])
    @pytest.mark.parametrize("closing", ["", "]", "}"])
    @pytest.mark.parametrize("kind", [None, Say, list[Any]])
    def test_depth_bomb(self, opening: str, closing: str, kind: Any) -> None:
        """Case 70: 100 000 brackets are InvalidMessage, as text and as bytes."""
        data = opening * 100_000 + closing * 100_000
        for form in (data, data.encode()):
            with pytest.raises(InvalidMessage):
                decode_json(form, kind)

    @pytest.mark.case(104)
    def test_text_of_the_peer_is_escaped_and_cut(self) -> None:
        """Case 104: a field's name comes from the peer: no control character of it, and not all of it, is shown."""
        for name in ("\x1b[31m\r\n" * 5000, "\u202e" * 5000, "x" * 100_000):
            with pytest.raises(InvalidMessage) as caught:
                decode_json(json.dumps({"playerName": "a", name: 1}), Move)
            assert str(caught.value).isprintable()
            assert "unknown field" in str(caught.value)
            assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("kind", [5, "Point", lambda: None, dict[str, 5], Move | Point, Unresolved])  # type: ignore[valid-type]
    def test_no_decoder(self, kind: Any) -> None:
        """A type that msgspec makes no decoder for is the caller's TypeError, before the data is looked at."""
        with pytest.raises(TypeError):
            decode_json("not JSON", kind)

    @pytest.mark.parametrize("kind", [Plain, list[Plain], dict[str, complex]])
    @pytest.mark.parametrize("data", ['{"a":1}', "[1]"])
    def test_class_that_json_has_no_form_for(self, kind: Any, data: str) -> None:
        """A class that JSON can't be turned into is not the peer's fault: TypeError, once a value for it comes."""
        if (kind, data) in ((list[Plain], '{"a":1}'), (dict[str, complex], "[1]")):
            with pytest.raises(InvalidMessage):
                decode_json(data, kind)
        else:
            with pytest.raises(TypeError, match="use a dataclass"):
                decode_json(data, kind)

    def test_error_of_a_check_in_the_type(self) -> None:
        """A ValueError of `__post_init__` is the peer's fault, with its text."""

        @dataclass
        class Even:
            n: int
            seen: list[int] = field(default_factory=list)

            def __post_init__(self) -> None:
                if self.n % 2:
                    raise ValueError(f"{self.n} is odd")

        assert decode_json('{"n":2}', Even) == Even(2)
        with pytest.raises(InvalidMessage, match="3 is odd"):
            decode_json('{"n":3}', Even)

    def test_decoders_are_kept_in_bounds(self) -> None:
        """A decoder is made once for each type, and not kept for more types than the bound."""
        assert codecs._decoder(Point) is codecs._decoder(Point)
        for number in range(1000):
            decode_json('{"x":1}', dataclass(type(f"Made{number}", (), {"__annotations__": {"x": int}})))
        assert codecs._cached_decoder.cache_info().currsize <= 256

    @given(st.binary(max_size=50) | st.text(st.characters(), max_size=50))
    def test_anything(self, data: str | bytes) -> None:
        """Whatever comes, a value or InvalidMessage comes out."""
        try:
            value = decode_json(data)
        except InvalidMessage:
            return
        if isinstance(value, float):
            assert math.isfinite(value)


def test_a_reader_of_one_type() -> None:
    """It reads as `decode_json` does with its type, and raises the same."""
    read = codecs.json_reader(Point | None)
    assert read('{"x":1}') == Point(1) and read(b"null") is None
    for data in ("", "{", '{"x":"a"}', b"\xff"):
        with pytest.raises(InvalidMessage) as refused:
            read(data)
        with pytest.raises(InvalidMessage, match=re.escape(str(refused.value))):
            decode_json(data, Point | None)
