"""The tables of states: every pair of a state and a signal, against lists written out here."""

from __future__ import annotations

from itertools import product

import pytest

from wsmash.constants import Opcode, State
from wsmash.sansio.states import (
    ASSEMBLY,
    LIFE,
    PUBLIC,
    SERVER_LIFE,
    Assembly,
    Life,
    ServerLife,
    ServerSignal,
    Signal,
    advance,
)

LIVES = """
CONNECTING       OPENED         OPEN
CONNECTING       SEND_CLOSE     -
CONNECTING       RECEIVE_CLOSE  -
CONNECTING       FAIL           -
CONNECTING       LOSE           LOST
OPEN             OPENED         -
OPEN             SEND_CLOSE     CLOSE_SENT
OPEN             RECEIVE_CLOSE  CLOSE_RECEIVED
OPEN             FAIL           FAILED
OPEN             LOSE           LOST
CLOSE_SENT       OPENED         -
CLOSE_SENT       SEND_CLOSE     -
CLOSE_SENT       RECEIVE_CLOSE  CLOSE_EXCHANGED
CLOSE_SENT       FAIL           FAILED
CLOSE_SENT       LOSE           LOST
CLOSE_RECEIVED   OPENED         -
CLOSE_RECEIVED   SEND_CLOSE     CLOSE_EXCHANGED
CLOSE_RECEIVED   RECEIVE_CLOSE  -
CLOSE_RECEIVED   FAIL           FAILED
CLOSE_RECEIVED   LOSE           LOST
CLOSE_EXCHANGED  OPENED         -
CLOSE_EXCHANGED  SEND_CLOSE     -
CLOSE_EXCHANGED  RECEIVE_CLOSE  -
CLOSE_EXCHANGED  FAIL           -
CLOSE_EXCHANGED  LOSE           LOST
FAILED           OPENED         -
FAILED           SEND_CLOSE     -
FAILED           RECEIVE_CLOSE  -
FAILED           FAIL           -
FAILED           LOSE           LOST
LOST             OPENED         -
LOST             SEND_CLOSE     -
LOST             RECEIVE_CLOSE  -
LOST             FAIL           -
LOST             LOSE           -
"""

SERVER_LIVES = """
NEW       START      STARTING
NEW       LISTENING  -
NEW       FAIL       -
NEW       STOP       -
NEW       GONE       -
STARTING  START      -
STARTING  LISTENING  STARTED
STARTING  FAIL       STOPPED
STARTING  STOP       STOPPING
STARTING  GONE       -
STARTED   START      -
STARTED   LISTENING  -
STARTED   FAIL       -
STARTED   STOP       STOPPING
STARTED   GONE       -
STOPPING  START      -
STOPPING  LISTENING  -
STOPPING  FAIL       -
STOPPING  STOP       -
STOPPING  GONE       STOPPED
STOPPED   START      STARTING
STOPPED   LISTENING  -
STOPPED   FAIL       -
STOPPED   STOP       -
STOPPED   GONE       -
"""

ASSEMBLIES = """
IDLE    CONTINUATION  -
IDLE    TEXT          TEXT
IDLE    BINARY        BINARY
TEXT    CONTINUATION  TEXT
TEXT    TEXT          -
TEXT    BINARY        -
BINARY  CONTINUATION  BINARY
BINARY  TEXT          -
BINARY  BINARY        -
"""

ROWS = {
    table: [tuple(line.split()) for line in table.strip().splitlines()] for table in (LIVES, SERVER_LIVES, ASSEMBLIES)
}


def test_life() -> None:
    """A connection moves from each state by each signal just as the list says."""
    pairs = [(state.name, signal.name) for state, signal in product(Life, Signal)]
    assert [(state, signal) for state, signal, _ in ROWS[LIVES]] == pairs
    for state, signal, after in ROWS[LIVES]:
        pair = Life[state], Signal[signal]
        assert LIFE.get(pair) == (None if after == "-" else Life[after])
        assert advance(*pair) is (Life[state] if after == "-" else Life[after])


def test_server_life() -> None:
    """A server moves from each state by each signal just as the list says."""
    pairs = [(state.name, signal.name) for state, signal in product(ServerLife, ServerSignal)]
    assert [(state, signal) for state, signal, _ in ROWS[SERVER_LIVES]] == pairs
    for state, signal, after in ROWS[SERVER_LIVES]:
        want = None if after == "-" else ServerLife[after]
        assert SERVER_LIFE.get((ServerLife[state], ServerSignal[signal])) == want


def test_assembly() -> None:
    """Each data frame may follow in each state of a message just as the list says; control frames never move it."""
    data = (Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY)
    pairs = [(state.name, opcode.name) for state, opcode in product(Assembly, data)]
    assert [(state, opcode) for state, opcode, _ in ROWS[ASSEMBLIES]] == pairs
    for state, opcode, after in ROWS[ASSEMBLIES]:
        want = None if after == "-" else Assembly[after]
        assert ASSEMBLY.get((Assembly[state], Opcode[opcode])) == want
    assert {opcode for _, opcode in ASSEMBLY} == set(data)


def test_assembly_is_named_after_its_opcode() -> None:
    """A message's kind is the opcode of its first frame, so that one turns into the other."""
    assert (int(Assembly.TEXT), int(Assembly.BINARY)) == (Opcode.TEXT, Opcode.BINARY)


@pytest.mark.case(49)
def test_what_the_user_sees() -> None:
    """Each state of a connection shows as one of the browser's four (case 49: from a close frame on, CLOSING)."""
    assert {life.name: state.name for life, state in PUBLIC.items()} == {
        "CONNECTING": "CONNECTING",
        "OPEN": "OPEN",
        "CLOSE_SENT": "CLOSING",
        "CLOSE_RECEIVED": "CLOSING",
        "CLOSE_EXCHANGED": "CLOSING",
        "FAILED": "CLOSING",
        "LOST": "CLOSED",
    }


def test_the_public_state_never_goes_back() -> None:
    """No signal leads from a later state of the browser's to an earlier one, and CLOSED is for good."""
    for state, signal in product(Life, Signal):
        assert PUBLIC[advance(state, signal)] >= PUBLIC[state]
    assert PUBLIC[Life.LOST] is State.CLOSED


def test_every_state_can_be_reached() -> None:
    """No state of any table is dead, and every connection can be lost from every state."""
    assert {Life.CONNECTING, *LIFE.values()} == set(Life)
    assert {ServerLife.NEW, *SERVER_LIFE.values()} == set(ServerLife)
    assert {Assembly.IDLE, *ASSEMBLY.values()} == set(Assembly)
    assert {advance(state, Signal.LOSE) for state in Life} == {Life.LOST}


@pytest.mark.case(49)
def test_one_close_frame_is_sent() -> None:
    """After our close frame, or a failure, nothing leads to a second one: case 49."""
    sends = {(state, LIFE.get((state, Signal.SEND_CLOSE))) for state in Life}
    assert {pair for pair in sends if pair[1] is not None} == {
        (Life.OPEN, Life.CLOSE_SENT),
        (Life.CLOSE_RECEIVED, Life.CLOSE_EXCHANGED),
    }
