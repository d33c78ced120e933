"""The names in NATS: a stream for each policy of a namespace, and the subjects of its topics.

A topic's name is part of a subject as it is, since its rules are those of NATS
(`topics/names.py`). Before it stand the policy, so that each subject is in one
stream, and the epoch, so that nothing reaches a stream that is no more, and what
was stored says of which incarnation it is.

    wsmash.topic.<policy>.<epoch>.<topic>    what is published, and kept by the stream
    wsmash.live.<policy>.<epoch>.<topic>     what the stream pushes of it (its RePublish)
    wsmash.anchor.<policy>.<epoch>.<slot>    what marks a time in the stream
    wsmash.cast                              what goes from node to node
"""

from __future__ import annotations

import re

from ..policy import TopicPolicy

_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,64}")

PLAIN_KEY = "plain"
"""The policy of all topics without a history."""


def check_namespace(namespace: str) -> str:
    """A namespace that can stand in subjects and in the names of streams, as it is.

    Raises:
        ValueError: it cannot.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"a namespace in NATS is 1 to 64 letters, digits, '-' and '_', and not {namespace!r:.75}")
    return namespace


def policy_key(policy: TopicPolicy) -> str:
    """What names a policy: topics with the same history share a stream."""
    if policy.history_size is None or policy.history_ttl is None:
        return PLAIN_KEY
    return f"h{policy.history_size}-{policy.history_ttl * 1000:.0f}ms"


class Subjects:
    """Those of one namespace."""

    __slots__ = ("_prefix", "cast", "namespace")

    def __init__(self, namespace: str) -> None:
        self.namespace = check_namespace(namespace)
        self._prefix = namespace
        self.cast = f"{namespace}.cast"

    def stream(self, key: str) -> str:
        """The name of a policy's stream."""
        return f"{self._prefix}-{key}"

    def topic(self, key: str, epoch: str, topic: str) -> str:
        """Where a topic is published; `>` for all of them."""
        return f"{self._prefix}.topic.{key}.{epoch}.{topic}"

    def anchor(self, key: str, epoch: str, slot: str) -> str:
        """Where a stream's times are marked; `>` for all of them."""
        return f"{self._prefix}.anchor.{key}.{epoch}.{slot}"

    def live(self, key: str, epoch: str, topic: str) -> str:
        """Where a stream pushes a topic; `>` for all of them, and `*` for any policy and epoch."""
        return f"{self._prefix}.live.{key}.{epoch}.{topic}"

    def parse_live(self, subject: str) -> tuple[str, str, str] | None:
        """The policy, the epoch and the topic of a push, or None where it is none."""
        parts = subject.split(".", 4)
        if len(parts) != 5 or parts[1] != "live":
            return None
        return parts[2], parts[3], parts[4]
