"""What client and server agree on when they negotiate permessage-deflate (RFC 7692 7.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.options import Deflate
from wsmash.sansio.deflate_negotiation import NAME, DeflateParams, accept_offer, check_answer, offer
from wsmash.sansio.headers import Extension

SERVER_TAKEOVER = "server_no_context_takeover"
CLIENT_TAKEOVER = "client_no_context_takeover"
SERVER_BITS = "server_max_window_bits"
CLIENT_BITS = "client_max_window_bits"


def extension(*params: tuple[str, str | None], name: str = NAME) -> Extension:
    return Extension(name, params)


SETTINGS = st.builds(
    Deflate,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=st.integers(9, 15),
    client_max_window_bits=st.integers(9, 15),
)

BAD_WINDOWS = ["7", "16", "99", "0", "-9", "+9", "09", "9.0", "abc", "", " 9", "1e1", "\u0661\u0662", "9" * 10_000]


class TestOffer:
    def test_default_lets_the_server_choose_the_window(self) -> None:
        """The defaults offer nothing but client_max_window_bits, without a value."""
        assert offer(Deflate()) == extension((CLIENT_BITS, None))

    def test_settings_that_differ_are_offered(self) -> None:
        """Each setting that is not the default has its parameter in the offer."""
        settings = Deflate(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=10,
            client_max_window_bits=11,
        )
        assert offer(settings) == extension(
            (SERVER_TAKEOVER, None), (CLIENT_TAKEOVER, None), (SERVER_BITS, "10"), (CLIENT_BITS, "11")
        )


class TestAcceptOffer:
    def test_plain_offer_gets_a_plain_answer(self) -> None:
        """An offer without parameters is accepted without parameters: windows of 15 bits, context kept."""
        assert accept_offer([extension()], Deflate()) == (extension(), DeflateParams(False, False, 15, 15))

    def test_no_offer_no_answer(self) -> None:
        """Other extensions are ignored."""
        assert accept_offer([extension(name="permessage-bzip2")], Deflate()) is None
        assert accept_offer([], Deflate()) is None

    def test_first_acceptable_offer_is_taken(self) -> None:
        """The client's order counts: the first offer without a fault is answered."""
        offers = [
            extension(("unknown", None)),
            extension(name="x-other"),
            extension((SERVER_BITS, "12")),
            extension((SERVER_BITS, "9")),
        ]
        assert accept_offer(offers, Deflate()) == (extension((SERVER_BITS, "12")), DeflateParams(False, False, 12, 15))

    def test_what_is_asked_of_the_server_is_confirmed(self) -> None:
        """server_no_context_takeover and server_max_window_bits are accepted by repeating them."""
        answer, params = accept_offer([extension((SERVER_TAKEOVER, None), (SERVER_BITS, "15"))], Deflate()) or (
            None,
            None,
        )
        assert answer == extension((SERVER_TAKEOVER, None), (SERVER_BITS, "15"))
        assert params == DeflateParams(True, False, 15, 15)

    def test_the_smaller_window_wins(self) -> None:
        """Each window is the smaller one of what is offered and what the server has set."""
        settings = Deflate(server_max_window_bits=11, client_max_window_bits=12)
        offers = [extension((SERVER_BITS, "10"), (CLIENT_BITS, "14"))]
        assert accept_offer(offers, settings) == (
            extension((SERVER_BITS, "10"), (CLIENT_BITS, "12")),
            DeflateParams(False, False, 10, 12),
        )

    def test_settings_go_into_the_answer_unasked(self) -> None:
        """A server may name what it does itself, and what it asks of the client, without an offer of it."""
        settings = Deflate(server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=10)
        assert accept_offer([extension()], settings) == (
            extension((SERVER_TAKEOVER, None), (CLIENT_TAKEOVER, None), (SERVER_BITS, "10")),
            DeflateParams(True, True, 10, 15),
        )

    def test_client_window_of_8_bits_is_accepted(self) -> None:
        """zlib inflates a window of 8 bits, so a client may have one."""
        assert accept_offer([extension((CLIENT_BITS, "8"))], Deflate()) == (
            extension((CLIENT_BITS, "8")),
            DeflateParams(False, False, 15, 8),
        )

    def test_server_window_of_8_bits_is_declined(self) -> None:
        """zlib does not make a window of 8 bits, so the offer is passed over."""
        assert accept_offer([extension((SERVER_BITS, "8"))], Deflate()) is None

    def test_client_that_can_not_be_limited_is_declined(self) -> None:
        """Where the server limits the client's window, an offer without client_max_window_bits is passed over."""
        assert accept_offer([extension()], Deflate(client_max_window_bits=12)) is None

    @pytest.mark.parametrize("name", [SERVER_BITS, CLIENT_BITS])
    @pytest.mark.parametrize("value", BAD_WINDOWS)
    def test_bad_window_is_declined(self, name: str, value: str) -> None:
        """A window must be 8 to 15 in decimal digits, without a leading zero."""
        assert accept_offer([extension((name, value))], Deflate()) is None

    @pytest.mark.parametrize(
        "params",
        [
            [(SERVER_BITS, None)],
            [(SERVER_TAKEOVER, "true")],
            [(CLIENT_TAKEOVER, "")],
            [("__class__", None)],
            [("Server_No_Context_Takeover", None)],
            [(SERVER_TAKEOVER, None), (SERVER_TAKEOVER, None)],
            [(CLIENT_BITS, None), (CLIENT_BITS, "10")],
            [(SERVER_BITS, "10"), (SERVER_BITS, "10")],
        ],
    )
    def test_fault_in_the_parameters_is_declined(self, params: list[tuple[str, str | None]]) -> None:
        """Unknown and repeated parameters, values where none belong and missing ones decline the offer (7.1)."""
        assert accept_offer([extension(*params)], Deflate()) is None


class TestCheckAnswer:
    def test_plain_answer(self) -> None:
        """An answer without parameters means the defaults."""
        assert check_answer(extension(), Deflate()) == DeflateParams(False, False, 15, 15)

    def test_server_may_choose(self) -> None:
        """A server may add what was not offered, but for client_max_window_bits, which is always offered."""
        answer = extension((SERVER_TAKEOVER, None), (CLIENT_TAKEOVER, None), (SERVER_BITS, "8"), (CLIENT_BITS, "9"))
        assert check_answer(answer, Deflate()) == DeflateParams(True, True, 8, 9)

    def test_own_limits_hold_without_an_answer(self) -> None:
        """What the client has set for itself, it does even if the server says nothing of it."""
        settings = Deflate(client_no_context_takeover=True, client_max_window_bits=10)
        assert check_answer(extension(), settings) == DeflateParams(False, True, 15, 10)

    @pytest.mark.case(22)
    @pytest.mark.parametrize("name", [SERVER_BITS, CLIENT_BITS])
    @pytest.mark.parametrize("value", [*BAD_WINDOWS, None])
    def test_bad_window(self, name: str, value: str | None) -> None:
        """Case 22: a window that is not 8 to 15 is refused by its name, with a short text."""
        with pytest.raises(ValueError) as caught:
            check_answer(extension((name, value)), Deflate())
        assert name in str(caught.value)
        assert len(str(caught.value)) < 150

    @pytest.mark.case(22)
    @pytest.mark.parametrize(
        ("params", "settings", "said"),
        [
            ([("unknown", "1")], Deflate(), "'unknown'"),
            ([("\x1b[31m" * 1000, "1")], Deflate(), "'\\x1b[31m"),
            ([(SERVER_BITS, "10")] * 2, Deflate(), f"{SERVER_BITS} is there twice"),
            ([(SERVER_TAKEOVER, None)] * 2, Deflate(), f"{SERVER_TAKEOVER} is there twice"),
            ([(SERVER_TAKEOVER, "1")], Deflate(), f"{SERVER_TAKEOVER} takes no value"),
            ([(SERVER_BITS, "12")], Deflate(server_max_window_bits=11), f"{SERVER_BITS} is 12, above the 11"),
            ([], Deflate(server_max_window_bits=11), f"{SERVER_BITS} is 15, above the 11"),
            ([(CLIENT_BITS, "12")], Deflate(client_max_window_bits=11), f"{CLIENT_BITS} is 12, above the 11"),
            ([(CLIENT_BITS, "8")], Deflate(), f"{CLIENT_BITS} is 8"),
            ([], Deflate(server_no_context_takeover=True), "the answer lacks it"),
        ],
    )
    def test_fault(self, params: list[tuple[str, str | None]], settings: Deflate, said: str) -> None:
        """Case 22: the error says which parameter of the answer is at fault."""
        with pytest.raises(ValueError) as caught:
            check_answer(extension(*params), settings)
        assert said in str(caught.value)
        assert str(caught.value).isprintable()

    @pytest.mark.case(22)
    def test_other_extension(self) -> None:
        """Case 22: an extension that was not offered is refused by its name."""
        with pytest.raises(ValueError, match="'x-other' was not offered"):
            check_answer(extension(name="x-other"), Deflate())

    @given(client=SETTINGS, server=SETTINGS)
    def test_our_ends_agree(self, client: Deflate, server: Deflate) -> None:
        """What our server answers to our client's offer, our client reads as the same parameters."""
        accepted = accept_offer([offer(client)], server)
        assert accepted is not None
        answer, params = accepted
        assert check_answer(answer, client) == params
