"""The codec of wsmash.v1: what comes out as it went in, what is refused, and what it costs."""

from __future__ import annotations

import json
import re
import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import ROOT
from wsmash.codecs import Raw, encode_json
from wsmash.errors import InvalidMessage
from wsmash.session import envelopes
from wsmash.session.envelopes import (
    MAX_DEPTH,
    MAX_ID,
    At,
    Cancel,
    Code,
    Degraded,
    Error,
    FromClient,
    FromServer,
    Gap,
    Join,
    Message,
    Presence,
    Present,
    Publish,
    Reply,
    Request,
    Restored,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Unsupported,
    content_of,
    decode_from_client,
    decode_from_server,
    encode,
    encode_message,
    is_envelope,
)
from wsmash.topics.position import Position
from wsmash.topics.record import Kind, Record

EPOCH = "5f0c9a3e7d2b4186a0f3c5d7e9b1a284"
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
records = st.one_of(
    text.map(lambda value: Record(Kind.TEXT, value.encode())),
    st.binary(max_size=50).map(lambda value: Record(Kind.BINARY, value)),
    values.map(lambda value: Record(Kind.JSON, encode_json(value).encode())),
)
ids = st.integers(0, MAX_ID)
epochs = st.binary(min_size=16, max_size=16).map(bytes.hex)
offsets = st.integers(0, 2**64 - 1)
positions = st.builds(At, epochs, offsets)
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)
contents = records.map(content_of)
members = st.builds(Present, text, text, values)


def with_content(kind: Any, *args: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An envelope of this class with some content."""
    return st.builds(
        lambda content, args, named: kind(*args, **named, **content),
        contents,
        st.tuples(*args),
        st.fixed_dictionaries({}, optional=named),
    )


commands = st.one_of(
    st.builds(Subscribe, ids, text, st.none() | positions),
    st.builds(Unsubscribe, ids, text),
    with_content(Publish, ids, text, key=keys),
    with_content(Request, ids, text.filter(bool), timeout=st.floats(0.001, 3600)),
    st.builds(Request, ids, text.filter(bool)),
    st.builds(Cancel, ids),
    st.builds(Presence, ids, text),
)
news = st.one_of(
    with_content(Reply, ids),
    st.builds(
        Reply, ids, epochs, offsets, st.booleans(), st.sampled_from(["epoch", "trimmed"]), st.booleans(),
        st.none() | st.lists(members, max_size=3),
    ),
    st.builds(Error, ids, text, text),
    with_content(Message, text, pattern=text, offset=offsets, epoch=epochs),
    st.builds(Gap, text, epochs, offsets, text, st.none() | text),
    st.builds(Degraded),
    st.builds(Restored),
    st.builds(Join, text, members),
    st.builds(Subscribed, text, epochs, offsets),
    st.builds(Unsubscribed, text, text, text),
)  # fmt: skip


def fields(envelope: Any) -> dict[str, Any]:
    """What an envelope holds; raw JSON as what it stands for, since Raws compare by identity."""
    return {
        name: json.loads(bytes(value)) if isinstance(value := getattr(envelope, name), Raw) else value
        for name in envelope.__struct_fields__
    }


def published(value: str, **members: object) -> str:
    """A publication of this JSON text."""
    rest = "".join(f',"{name}":{json.dumps(member)}' for name, member in members.items())
    return f'\x1e{{"type":"publish","id":1,"topic":"t","json":{value}{rest}}}'


class TestRoundTrips:
    @given(commands)
    def test_commands(self, command: Any) -> None:
        """What a client writes is what a server reads."""
        written = encode(command).decode()
        again = decode_from_client(written)
        assert is_envelope(written) and type(again) is type(command) and fields(again) == fields(command)

    @given(news)
    def test_news(self, envelope: Any) -> None:
        """What a server writes is what a client reads."""
        again = decode_from_server(encode(envelope).decode())
        assert type(again) is type(envelope) and fields(again) == fields(envelope)

    @given(records)
    def test_records(self, record: Record) -> None:
        """A record is the same again after it was content."""
        found = decode_from_server(encode(Message("t", **content_of(record))).decode())
        assert isinstance(found, Message) and found.record == record

    @given(text, records, st.none() | offsets, st.none() | epochs, st.none() | text)
    def test_messages_written_in_pieces(
        self, topic: str, record: Record, offset: int | None, epoch: str | None, pattern: str | None
    ) -> None:
        """The short way for what is published comes to the same as the long one."""
        quick = encode_message(topic, record, offset, epoch, pattern)
        slow = encode(Message(topic, pattern, offset, epoch, **content_of(record)))
        assert json.loads(quick[1:]) == json.loads(slow[1:]) and quick[:1] == slow[:1] == b"\x1e"

    def test_values_are_embedded_as_they_came(self) -> None:
        """JSON that was published reaches subscribers with its spaces and its numbers."""
        value = '{ "a" : 1.10, "b": [1e2,\n 12345678901234567890123] }'
        command = decode_from_client(published(value))
        assert isinstance(command, Publish) and command.record is not None
        assert value.encode() in encode_message("t", command.record, 7)

    def test_positions(self) -> None:
        """An answer has a position where it has both halves of one."""
        assert Reply(1, EPOCH, 2).position == Gap("t", EPOCH, 2).position == Position(EPOCH, 2)
        assert Reply(1).position is Gap("t").position is None


class TestRefused:
    @pytest.mark.parametrize(
        "body",
        [
            "",
            "[]",
            "{}",
            "null",
            '{"id":1}',
            '{"type":1,"id":1}',
            '{"type":"subscribe","topic":"t"}',
            '{"type":"subscribe","id":1}',
            '{"type":"subscribe","id":1,"topic":2}',
            '{"type":"subscribe","id":1,"topic":"t","since":1}',
            '{"type":"subscribe","id":1,"topic":"t","since":{"epoch":"x","offset":1}}',
            f'{{"type":"subscribe","id":1,"topic":"t","since":{{"epoch":"{EPOCH}\\n","offset":1}}}}',
            f'{{"type":"subscribe","id":1,"topic":"t","since":{{"epoch":"{EPOCH}","offset":-1}}}}',
            '{"type":"publish","id":1,"topic":"t"}',
            '{"type":"publish","id":1,"topic":"t","text":"a","json":1}',
            '{"type":"publish","id":1,"topic":"t","text":1}',
            '{"type":"publish","id":1,"topic":"t","binary":"A"}',
            '{"type":"publish","id":1,"topic":"t","text":"a","key":""}',
            '{"type":"publish","id":1,"topic":"t","text":"a","key":"a b"}',
            '{"type":"publish","id":1,"topic":"t","text":"a","key":"a\\n"}',
            '{"type":"publish","id":1,"topic":"t","text":"a","key":"ä"}',
            f'{{"type":"publish","id":1,"topic":"t","text":"a","key":"{"k" * 129}"}}',
            '{"type":"request","id":1,"method":""}',
            '{"type":"request","id":1,"method":"m","timeout":0}',
            '{"type":"request","id":1,"method":"m","timeout":3601}',
            '{"type":"request","id":1,"method":"m","text":"a","binary":""}',
            '{"type":"cancel","id":1}{"type":"cancel","id":2}',
            '\x1e{"type":"cancel","id":1}',
            '{"type":"later"}',
            '{"type":"cancel","id":1,}',
        ],
    )
    def test_malformed_commands(self, body: str) -> None:
        """No command: an InvalidMessage that says why, on one line."""
        with pytest.raises(InvalidMessage) as refused:
            decode_from_client("\x1e" + body)
        assert str(refused.value).isprintable() and len(str(refused.value)) < 300

    @pytest.mark.case(70)
    @pytest.mark.parametrize("number", ["-1", "1.0", "1e3", "true", '"1"', "null", str(MAX_ID + 1), "9" * 100_000])
    def test_ids(self, number: str) -> None:
        """An id is an integer that JavaScript can count to, however many digits a peer sends."""
        with pytest.raises(InvalidMessage):
            decode_from_client(f'\x1e{{"type":"cancel","id":{number}}}')

    @pytest.mark.parametrize(
        "value",
        [
            "01", "[1,]", '"\x01"', '"\\q"', "nul", "1e", "1e999", '"\\ud800"', '"\\ud800x"', '"\\udc00"', "[1 2]",
            "{a:1}", "NaN", "\x0c1",
        ],
    )  # fmt: skip
    def test_what_is_no_json(self, value: str) -> None:
        """Nothing that any subscriber could not parse is embedded into what all of them are sent."""
        with pytest.raises(InvalidMessage):
            decode_from_client(published(value))

    @pytest.mark.case(70)
    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_depth(self, opening: str) -> None:
        """A value is nested so deep at most, and a hundred thousand levels are refused as well as one too many."""
        closing = "]" if opening == "[" else "}"
        for depth in (1, MAX_DEPTH):
            decode_from_client(published(opening * depth + "1" + closing * depth))
        for depth in (MAX_DEPTH + 1, 100_000):
            with pytest.raises(InvalidMessage, match=r"at most 128|nested too deeply"):
                decode_from_client(published(opening * depth + "1" + closing * depth))
        with pytest.raises(InvalidMessage):
            decode_from_client(published(opening * 100_000))

    def test_brackets_that_are_text(self) -> None:
        """Brackets in strings are no depth, whatever is escaped before them."""
        value = json.dumps(["[" * 500, '"[[' * 100, "\\[" * 200, '\\"{' * 100, "]" * 500])
        command = decode_from_client(published(value))
        assert isinstance(command, Publish) and command.record == Record(Kind.JSON, value.encode())

    @given(st.text('"\\[]{x', max_size=200), st.data())
    def test_depth_is_told_right(self, inner: str, data: st.DataObject) -> None:
        """The depth is that of the value, also around text that is made to be mistaken for it."""
        depth = data.draw(st.integers(1, 200))
        value: Any = {inner: inner}
        for _ in range(depth - 1):
            value = [inner, value, inner]
        assert envelopes._depth(json.dumps(value).encode()) == depth

    @pytest.mark.case(70)
    def test_long_values_take_linear_time(self) -> None:
        """A mebibyte of brackets, quotation marks or backslashes takes a fraction of a second of the processor."""
        for piece in ("[],", '"",', '"\\\\",', '"\\"[",'):
            value = "[" + piece * (2**20 // len(piece)) + "0]"
            before = time.process_time()
            decode_from_client(published(value))
            assert time.process_time() - before < 1

    @pytest.mark.parametrize("body", ["", "[]", "{}", '{"type":"message"}', '{"type":"reply","id":"x"}'])
    def test_malformed_news(self, body: str) -> None:
        """What a server may not send is an InvalidMessage to a client."""
        with pytest.raises(InvalidMessage):
            decode_from_server("\x1e" + body)


class TestLaterVersions:
    def test_members(self) -> None:
        """Members that are not known are ignored, by either end."""
        assert decode_from_client('\x1e{"later":[{}],"type":"cancel","id":1}') == Cancel(1)
        assert decode_from_server('\x1e{"type":"degraded","for":5}') == Degraded()

    def test_types(self) -> None:
        """A command that is not known can be answered; what a server tells of and is not known is nothing."""
        assert decode_from_client('\x1e{"type":"history","id":7,"topic":1}') == Unsupported(7, "history")
        assert decode_from_server('\x1e{"type":"weather","id":"x"}') is None


class TestOrdinaryMessages:
    @pytest.mark.parametrize("data", [b"\x1e{}", b"", "", "{}", " \x1e{}"])
    def test_what_is_no_envelope(self, data: str | bytes) -> None:
        """Binary messages are ordinary whatever they begin with, and text is where the mark is not its first."""
        assert not is_envelope(data)


class TestPage:
    def test_dialogue(self) -> None:
        """Each line of the dialogues in docs/protocol.md is an envelope, with no member that is not known."""
        lines = re.findall(r"^([CS]) (\{.*\})$", PROTOCOL, re.MULTILINE)
        assert len(lines) > 10
        for sender, line in lines:
            found: Any = (decode_from_client if sender == "C" else decode_from_server)("\x1e" + line)
            assert json.loads(encode(found)[1:]) == json.loads(line)

    def test_types(self) -> None:
        """The page has a row for each type that the codec knows, and for no other."""
        firsts = re.findall(r"^\| (`.*?) \|", PROTOCOL, re.MULTILINE)
        rows = {name for first in firsts for name in re.findall("`(.*?)`", first)}
        types = {each.__struct_config__.tag for each in (*get_args(FromClient), *get_args(FromServer))}
        assert types <= rows
        assert rows - types == {*map(str, Code), "type", "code", "reason", "epoch", "trimmed", "slow", "outage"}

    def test_bounds(self) -> None:
        """The page names the codec's bounds."""
        assert f"nested at most {MAX_DEPTH} deep" in PROTOCOL
        assert f"1 to {envelopes.MAX_KEY} printable ASCII" in PROTOCOL
        assert f"`method` has 1 to {envelopes.MAX_METHOD} characters" in PROTOCOL
        assert f"at most {envelopes.MAX_DEADLINE:.0f}," in PROTOCOL
