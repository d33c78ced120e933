"""What Redis knows topics by: names that lie together, and that nobody can make two of, or one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.brokers import RedisServer
from wsmash.topics.brokers.redis_names import check_namespace, glob_of, names_of, topic_of
from wsmash.topics.names import check_topic

SEGMENTS = st.text(st.sampled_from("ab{}%7D25:*>[]\\?^-\u20ac"), min_size=1, max_size=8).filter(
    lambda text: not set(text) & set("*>")
)
TOPICS = st.lists(SEGMENTS, min_size=1, max_size=4).map(".".join)


def test_all_of_a_topic_lies_in_one_slot(start_redis: Callable[..., RedisServer]) -> None:
    """A cluster's own function says so, for any name and key."""
    server = start_redis(cluster_enabled="yes")
    for topic in ("a", "chat.room-7", "{", "}", "{}", "a}b{c}", "%7D", "\u20ac"):
        names = names_of("wsmash", topic)
        own = names.meta, names.stream, names.key + b"k}{x}", names.channel
        assert len({server.call("CLUSTER", "KEYSLOT", name) for name in own}) == 1
    slots = {server.call("CLUSTER", "KEYSLOT", names_of("wsmash", f"topic.{i}").meta) for i in range(100)}
    assert len(slots) > 90


@given(TOPICS, TOPICS, st.text(max_size=5), st.text(max_size=5))
def test_names_are_of_one_topic(one: str, two: str, key: str, other: str) -> None:
    """Two topics share no name, nor do two keys; a channel gives back its topic."""
    first, second = names_of("wsmash", one), names_of("wsmash", two)
    own = [*first[:2], first.key + key.encode(), first.channel]
    foreign = [*second[:2], second.key + other.encode(), second.channel]
    assert (not set(own) & set(foreign)) == (one != two)
    assert (first.key + key.encode() == second.key + other.encode()) == ((one, key) == (two, other))
    assert topic_of("wsmash", first.channel) == check_topic(one)


@pytest.mark.parametrize(
    "channel",
    [
        *(b"", b"a", b"wsmash:cast", b"wsmash:{}", b"wsmash:{a", b"wsmash:a}", b"wsmash:{a}}", b"wsmash:{a b}"),
        *(b"wsmash:{*}", b"other:{a}", b"wsmash:{\xff}", b"wsmash:{a..b}", b"wsmash:{%7d}"),
        b"wsmash:{" + b"x" * 256 + b"}",
    ],
)
def test_what_is_no_channel_of_ours(channel: bytes) -> None:
    """It has no topic."""
    assert topic_of("wsmash", channel) is None


@pytest.mark.parametrize(
    ("pattern", "glob"),
    [
        ("chat.*", b"wsmash:{chat.*}"),
        ("*.a.>", b"wsmash:{*.a.*}"),
        (">", b"wsmash:{*}"),
        ("[a-b]?.*", b"wsmash:{\\[a\\-b\\]?.*}".replace(b"?", b"\\?")),
        ("a\\.*", b"wsmash:{a\\\\.*}"),
        ("a}.*", b"wsmash:{a%7D.*}"),
    ],
)
def test_patterns(pattern: str, glob: bytes) -> None:
    """Only stars mean more than themselves."""
    assert glob_of("wsmash", pattern) == glob


@pytest.mark.parametrize("namespace", ["", "a b", "a{b", "a}", "a*", "a?", "[a]", "a\n", "a\\b"])
def test_what_is_no_namespace(namespace: str) -> None:
    """What would be mistaken for a tag or a pattern is refused."""
    with pytest.raises(ValueError, match="namespace"):
        check_namespace(namespace)
