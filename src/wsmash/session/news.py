"""What a server tells a client of its subscriptions, brought to them."""

from __future__ import annotations

import logging
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from ..codecs import UNSET
from ..errors import RequestError, WebSocketError
from ..topics.position import Position
from .backlog import Slot
from .commands import member_of
from .envelopes import (
    Code,
    Degraded,
    Error,
    FromServer,
    Gap,
    Join,
    Leave,
    Message,
    Reply,
    Restored,
    Subscribed,
    Unsubscribed,
)
from .events import TopicEvent, TopicGap, TopicMessage, TopicPresence, TopicRefused, TopicSubscribed
from .progress import Verdict
from .subscription import Phase, Subscription

if TYPE_CHECKING:
    from .client import ClientSession

MAX_GIVEN: Final = 128
"""Subscriptions by the server itself that a client keeps and has not asked for."""

FIRST_RETRY: Final = 2.0
"""Seconds within which a subscription is asked for again that the server cannot take; each time twice as many."""

MAX_RETRY: Final = 30.0
"""The most of them."""

_PASSING: Final = frozenset({Code.UNAVAILABLE, Code.TOO_FAST})
"""Errors after which asking again is of use."""

_random = SystemRandom()


class News:
    """Finds the subscription that something is about, and tells it."""

    __slots__ = ("_session",)

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def tell(self, envelope: FromServer, size: int) -> None:
        """Something has happened; it was told in so many characters."""
        if isinstance(envelope, Message):
            self._message(envelope)
        elif isinstance(envelope, (Degraded, Restored)):
            slot: Slot = "_on_degraded" if isinstance(envelope, Degraded) else "_on_restored"
            for subscription in self._active():
                subscription._put(slot, TopicEvent(subscription._client, subscription.topic))
        elif isinstance(envelope, Gap):
            self._gap(envelope, size)
        elif isinstance(envelope, (Join, Leave)):
            self._presence(envelope, size)
        elif isinstance(envelope, Subscribed):
            self._given(envelope)
        elif isinstance(envelope, Unsubscribed):
            known = self._session.subscriptions.get(envelope.topic)
            if known is not None:
                self.refused(known, RequestError(envelope.code, envelope.message), Phase.OVER)

    def _presence(self, envelope: Join | Leave, size: int) -> None:
        subscription = self._find(envelope.pattern or envelope.topic)
        if subscription is not None:
            slot: Slot = "_on_join" if isinstance(envelope, Join) else "_on_leave"
            event = TopicPresence(subscription._client, envelope.topic, member_of(envelope.member))
            subscription._put(slot, event, size)

    def _active(self) -> list[Subscription]:
        return [each for each in self._session.subscriptions.values() if each._phase is Phase.ACTIVE]

    def _find(self, name: str) -> Subscription | None:
        """The one that is confirmed: what comes before that was for one that it takes the place of."""
        subscription = self._session.subscriptions.get(name)
        return None if subscription is None or subscription._phase is not Phase.ACTIVE else subscription

    # -- messages

    def _message(self, envelope: Message) -> None:
        subscription = self._find(envelope.pattern or envelope.topic)
        if subscription is None:
            return
        client, topic = subscription._client, envelope.topic
        verdict, position = subscription._progress.accept(topic, envelope.epoch, envelope.offset)
        if verdict is Verdict.DUPLICATE:
            return
        if verdict is Verdict.AFTER_GAP and position is not None:
            before = Position(position.epoch, position.offset - 1)
            subscription._put("_on_gap", TopicGap(client, topic, before, "epoch"))
        subscription._put("_on_message", TopicMessage(client, topic, data_of(envelope), position))

    def _gap(self, envelope: Gap, size: int) -> None:
        subscription = self._find(envelope.pattern or envelope.topic)
        if subscription is not None:
            subscription._progress.move(envelope.topic, envelope.position)
            gap = TopicGap(subscription._client, envelope.topic, envelope.position, envelope.reason)
            subscription._put("_on_gap", gap, size)

    # -- the state of a subscription

    def answered(self, subscription: Subscription, answer: Reply | Error) -> None:
        """The server was asked for a subscription, and has answered."""
        if subscription._phase is not Phase.ASKED:
            return  # it was unsubscribed meanwhile
        if isinstance(answer, Reply):
            self._confirmed(subscription, answer.position, answer.recovered, answer.reason)
            if answer.degraded:
                subscription._put("_on_degraded", TopicEvent(subscription._client, subscription.topic))
        elif answer.code in _PASSING:
            self._retry(subscription)
        else:
            self.refused(subscription, RequestError(answer.code, answer.message), Phase.OVER)

    def _confirmed(
        self, subscription: Subscription, position: Position | None, recovered: bool | None, reason: str | None
    ) -> None:
        subscription._confirm()
        gap = subscription._progress.confirm(position, recovered=bool(recovered))
        client, topic = subscription._client, subscription.topic
        subscription._put("_on_subscribed", TopicSubscribed(client, topic, position, recovered))
        if gap:
            subscription._put("_on_gap", TopicGap(client, topic, position, reason or "disconnected"))

    def _retry(self, subscription: Subscription) -> None:
        loop = self._session.client._owner.environment.loop
        most = min(MAX_RETRY, FIRST_RETRY * 2**subscription._retries)
        subscription._retries = min(subscription._retries + 1, 8)
        subscription._phase = Phase.WAITING
        subscription._retry = loop.call_later(_random.uniform(0.0, most), self._session.ask_again, subscription)

    def _given(self, envelope: Subscribed) -> None:
        """The server has subscribed this client, of its own accord."""
        session = self._session
        subscription = session.subscriptions.get(envelope.topic)
        if subscription is None:
            if sum(each._given for each in session.subscriptions.values()) >= MAX_GIVEN:
                return
            subscription = Subscription(session, envelope.topic, None, given=True)
            session.subscriptions[envelope.topic] = subscription
        known = envelope.epoch is not None and envelope.offset is not None
        position = Position(envelope.epoch or "", envelope.offset or 0) if known else None
        self._confirmed(subscription, position, None, None)

    def refused(self, subscription: Subscription, error: WebSocketError, phase: Phase) -> None:
        """The server does not take the subscription, or has ended it, or knows of none."""
        if subscription._phase is Phase.OVER:
            return
        if phase is Phase.OVER:
            self._session.remove(subscription)
        heard = subscription._is_heard
        subscription._end(error, phase)
        client = subscription._client
        subscription._put("_on_error", TopicRefused(client, subscription.topic, error))
        if not heard:
            reports = client._owner.reports
            reports.log(logging.ERROR, "%s: %r is not subscribed to: %s", client, subscription.topic, error)


def data_of(envelope: Message) -> str | bytes:
    """A message as its receiver gets it: JSON as text."""
    if envelope.json is not UNSET:
        return bytes(envelope.json).decode()
    if envelope.text is not UNSET:
        return envelope.text
    return b"" if envelope.binary is UNSET else envelope.binary
