"""The names of topics, and patterns of them.

A name is segments between dots, as `chat.room-7`. In a pattern a segment `*` stands
for any one segment, and `>` as the last one for one segment or more (the rules and
signs of NATS subjects).
"""

from __future__ import annotations

from typing import Final

MAX_NAME: Final = 255
"""Bytes of a name in UTF-8 at most."""

_ONE, _REST = "*", ">"


def check_topic(name: object) -> str:
    """A topic's name, as it is.

    Raises:
        TypeError: it is no str.
        ValueError: it is no name; the text says what is wrong.
    """
    text = _check(name)
    if is_pattern(text):
        raise ValueError(f"{text!r:.300} is a pattern: the name of one topic holds neither '*' nor '>'")
    return text


def check_pattern(name: object) -> str:
    """A topic's name or a pattern, as it is.

    Raises:
        TypeError: it is no str.
        ValueError: it is neither; the text says what is wrong.
    """
    text = _check(name)
    segments = text.split(".")
    for at, segment in enumerate(segments, 1):
        if _REST in segment and (segment != _REST or at < len(segments)):
            raise ValueError(f"'>' is the whole last segment of a pattern, and is not in {text!r:.300}")
        if _ONE in segment and segment != _ONE:
            raise ValueError(f"'*' is a whole segment of a pattern, and is not in {text!r:.300}")
    return text


def is_pattern(name: str) -> bool:
    """Whether the name, which was checked, stands for several topics."""
    return _ONE in name or _REST in name


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic is one of those that the pattern, or the name, stands for."""
    if not is_pattern(pattern):
        return pattern == topic
    wanted, segments = pattern.split("."), topic.split(".")
    if wanted[-1] == _REST:
        wanted.pop()
        if len(segments) <= len(wanted):
            return False
        segments = segments[: len(wanted)]
    return len(wanted) == len(segments) and all(
        want in (_ONE, segment) for want, segment in zip(wanted, segments, strict=True)
    )


def _check(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a topic is a str, not {name!r:.75}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the name of a topic cannot hold a lone surrogate: {name!r:.300}") from None
    if not 0 < size <= MAX_NAME:
        raise ValueError(f"the name of a topic has 1 to {MAX_NAME} bytes in UTF-8, and this one has {size}")
    if not name.isprintable() or " " in name:
        raise ValueError(f"the name of a topic holds no spaces and no control characters: {name!r:.300}")
    if "" in name.split("."):
        raise ValueError(f"no segment of a topic's name is empty, as one is in {name!r:.300}")
    return name
