"""What Redis knows topics by: the keys of a topic, its channel, and what matches the channels of a pattern.

The name of a topic stands between braces, so that all that is its own lies in one
hash slot.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from ..names import check_topic


class Names(NamedTuple):
    """Those of one topic.

    Attributes:
        meta: the hash of what is known of its stream.
        stream: the key of its stream.
        key: what the keys of results begin with; an idempotency key follows.
        channel: of its pushes.
    """

    meta: bytes
    stream: bytes
    key: bytes
    channel: bytes


def check_namespace(namespace: str) -> str:
    """What all names may begin with.

    Raises:
        ValueError: it would be mistaken for something else.
    """
    if not namespace or not namespace.isprintable() or set(namespace) & set(" {}*?[]\\"):
        raise ValueError(f"a namespace holds no spaces, braces, brackets and stars, as {namespace!r:.100} does")
    return namespace


@lru_cache(maxsize=4096)
def names_of(namespace: str, topic: str) -> Names:
    """The names of a topic."""
    tag = f"{namespace}:{{{_escape(topic)}}}"
    return Names(*(f"{tag}{suffix}".encode() for suffix in (":meta", ":stream", ":key:", "")))


@lru_cache(maxsize=4096)
def topic_of(namespace: str, channel: bytes) -> str | None:
    """The topic of a channel; None where it is none."""
    with suppress(ValueError):
        topic = channel.decode().removeprefix(f"{namespace}:{{").removesuffix("}")
        topic = check_topic(topic.replace("%7D", "}").replace("%25", "%"))
        if names_of(namespace, topic).channel == channel:
            return topic
    return None


def glob_of(namespace: str, pattern: str) -> bytes:
    """What Redis matches channels with: those that the pattern stands for, and perhaps more."""
    segments = ("*" if segment in ("*", ">") else _literal(_escape(segment)) for segment in pattern.split("."))
    return f"{_literal(namespace)}:{{{'.'.join(segments)}}}".encode()


def _escape(topic: str) -> str:
    """Without the brace that ends it, so that no two topics, or their keys, are ever the same in Redis."""
    return topic.replace("%", "%25").replace("}", "%7D")


def _literal(text: str) -> str:
    """What stands for itself where Redis matches."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
