"""What a server counts: who came, who was let in, who was not and why."""

from __future__ import annotations

from dataclasses import dataclass

from .owner import Counters


@dataclass(slots=True)
class ServerCounters(Counters):
    """What happened to a server since it was made; ints that only grow.

    Each client that was refused, or whose open connection this end failed, counts once, under the reason
    that came first, however many records of it the log has left out. One that closes its connection, or
    breaks it off, counts as `opened` alone.

    Attributes:
        accepted: sockets that came.
        opened: those that became a WebSocket.
        plain: those that asked for something else, and were answered by the server.
        refused_hook: those that `process_request` has answered.
        failed_hook: those answered 500 because it raised, or gave no answer that there is.
        refused_path: answered 404 because no WebSocket is there.
        refused_connections: answered 503 because of `max_connections`.
        refused_per_ip: answered 429 because of `max_connections_per_ip`.
        refused_rate: answered 429, or dropped without an answer, because of `connect_rate`.
        refused_origin: answered 403 because of `Origin` or `Host`.
        refused_stopping: answered 503 because the server stops.
        malformed: requests that were no HTTP, or no valid opening handshake.
        unopened: those that left, failed in TLS, could not be taken in or were there when the server was
            aborted, before they had an answer.
        unfinished: those that took longer than `open_timeout`.
        dropped_openings: those dropped to make room for others (`max_openings`), without an answer.
        closed_unauthenticated: connections closed with 1008 because nobody said in time who they are.
        refused_budget: answered 503 while connections held more than `max_buffered`.
        budget_spent: times that they came to that.
        closed_over_budget: connections closed with 1013 because of it.
        refused_topics: subscriptions, publications and questions of clients that `authorize` or
            `max_topics_per_connection` has refused.
        gaps: times that subscribers of a topic, or of a pattern, were told that they may have missed messages.
        invalid_records: messages left out because the broker had them from something that is no node of ours.
        invalid_casts: what came from other nodes by way of the broker, and was left out because no node of ours casts
            it: too long, of an unknown version, or malformed.
        dropped_casts: broadcasts, and news of who is on a topic, that did not go out to the other nodes because too
            many waited, or because the broker takes none of this size.
        left_out_members: members of topics with presence who found no room in what a node knows.
        accept_pauses: times that accepting paused: for `max_openings`, or for want of descriptors or memory.
    """

    accepted: int = 0
    opened: int = 0
    plain: int = 0
    refused_hook: int = 0
    failed_hook: int = 0
    refused_path: int = 0
    refused_connections: int = 0
    refused_per_ip: int = 0
    refused_rate: int = 0
    refused_origin: int = 0
    refused_stopping: int = 0
    malformed: int = 0
    unopened: int = 0
    unfinished: int = 0
    dropped_openings: int = 0
    closed_unauthenticated: int = 0
    refused_budget: int = 0
    budget_spent: int = 0
    closed_over_budget: int = 0
    refused_topics: int = 0
    gaps: int = 0
    invalid_records: int = 0
    invalid_casts: int = 0
    dropped_casts: int = 0
    left_out_members: int = 0
    accept_pauses: int = 0
