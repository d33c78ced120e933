"""TLS as a pump without I/O: ciphertext in, plaintext out, and the other way round.

It stands on `ssl.MemoryBIO`, so that any `ssl.SSLContext` works and TLS can run
inside TLS. A memory BIO never shrinks below the most it ever held; bytes
therefore pass through in small slices, and a connection stays small after a
large message.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from typing import Final

from .base import TLS

SLICE = 4096
"""Bytes fed at a time: as little as keeps the cost of a slice small beside that of its cipher."""

MOST_ANSWERS = 4096
"""Bytes that TLS may answer by itself while the peer takes none of them: 150 updates of keys, which cost us two
milliseconds. Nobody needs two in a row (RFC 8446 4.6.3), and OpenSSL answers any number."""

_UNKNOWN_ISSUER = "; a context that knows its issuer trusts it: ssl.create_default_context(cafile=...)"
_OTHER_NAME = "; connect by a name that the certificate has"

_VERIFY_HINTS: Final = {18: _UNKNOWN_ISSUER, 19: _UNKNOWN_ISSUER, 20: _UNKNOWN_ISSUER, 62: _OTHER_NAME, 64: _OTHER_NAME}
"""By OpenSSL's number of what was wrong (X509_V_ERR_*)."""

_READ = 16384  # a TLS record holds no more


def fault(name: str, text: str) -> ssl.SSLError:
    """An error like OpenSSL's own, with a name of that kind, for what only we look at."""
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, text)
    error.reason = name
    return error


def explained(error: ssl.SSLError, host: str) -> str:
    """What failed in TLS with this host, in OpenSSL's words, and what to do about it where that is known."""
    text = re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(error))
    name = error.reason or ""
    if name and name.replace("_", " ").lower() not in text.lower():
        text += f" ({name})"
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", None)
        text += _VERIFY_HINTS.get(code, "") if isinstance(code, int) else ""
    elif _is_about_our_certificate(error):
        text += "; it wants a certificate that it trusts of this client: see load_cert_chain of the ssl context"
    elif name.endswith("ALERT_HANDSHAKE_FAILURE"):
        text += "; it may want a certificate of this client: see load_cert_chain of the ssl context"
    return f"TLS failed with {host}: {text}"


def is_permanent(error: ssl.SSLError) -> bool:
    """Whether trying again would meet the same: a certificate is not in order, or not trusted, on either side."""
    return isinstance(error, ssl.SSLCertVerificationError) or _is_about_our_certificate(error)


def _is_about_our_certificate(error: ssl.SSLError) -> bool:
    """Whether the peer has said that it wants another certificate of ours, or one at all (RFC 8446 6.2)."""
    _, alert, about = (error.reason or "").partition("_ALERT_")
    return bool(alert) and ("CERTIFICATE" in about or about == "UNKNOWN_CA")


class TLSPump:
    """One TLS session. The handshake starts by itself; what is written before its end is kept for it.

    Attributes:
        session: the SSL object.
        incoming, outgoing: the memory it reads from and writes to; its own, where none is given.
        failure: what was wrong after plaintext that was in order.
        answered: bytes that TLS has said by itself since the handshake; the caller's to set back to
            0 where they have gone out.
    """

    __slots__ = (
        "_closing", "_early", "_ready", "_said_goodbye", "answered", "failure", "incoming", "outgoing", "session"
    )  # fmt: skip

    def __init__(
        self, tls: TLS, incoming: ssl.MemoryBIO | None = None, outgoing: ssl.MemoryBIO | None = None
    ) -> None:
        self.incoming = incoming or ssl.MemoryBIO()
        self.outgoing = outgoing or ssl.MemoryBIO()
        self._early: list[bytes] | None = []
        self.failure: ssl.SSLError | None = None
        self.answered = 0
        self._closing = self._said_goodbye = False
        self._ready: list[bytes] = []
        self.session = tls.context.wrap_bio(
            self.incoming, self.outgoing, server_side=tls.server_side, server_hostname=tls.server_hostname
        )
        self._shake_hands()

    def receive(self, ciphertext: bytes) -> tuple[bytes, bool]:
        """The plaintext in these bytes, and whether the peer has ended its side.

        Raises:
            ssl.SSLError: the peer or its certificate is not in order; `output`
                then holds the alert that says so. Or it makes TLS answer without end, and
                reads nothing. Where plaintext came before the fault, that is returned, and
                the error is in `failure`.
        """
        plaintext: list[bytes] = []
        ended = False
        view = memoryview(ciphertext)
        for start in range(0, len(view), SLICE):
            self.incoming.write(view[start : start + SLICE])
            try:
                ended = self._advance(plaintext)
                if (refusal := self.refusal(0)) is not None:
                    raise refusal
            except ssl.SSLError as error:
                if not plaintext:
                    raise
                self.failure = error
                break
        return plaintext[0] if len(plaintext) == 1 else b"".join(plaintext), ended

    def refusal(self, more: int) -> ssl.SSLError | None:
        """Why not to go on, where TLS has answered too much, with what it is about to say."""
        if self.answered + more <= MOST_ANSWERS:
            return None
        return fault("TOO_MANY_ANSWERS", "the peer makes TLS answer again and again, and does not read")

    def write(self, plaintext: bytes) -> None:
        """Encrypt; `output` has the result. After a failure there is no session to encrypt for."""
        if self.failure is not None:
            return
        if self._early is not None:
            self._early.append(plaintext)
            return
        view = memoryview(plaintext)
        for start in range(0, len(view), SLICE):
            self.session.write(view[start : start + SLICE])
            self._drain()

    @property
    def shaking_hands(self) -> bool:
        """Whether the handshake is not done, and what was written waits for its end."""
        return self._early is not None

    def close(self) -> None:
        """Say that nothing more will come (RFC 8446 6.1); once, and without waiting for the answer.

        During the handshake it is said after that, behind what was written.
        """
        self._closing = True
        if self._early is None:
            with contextlib.suppress(ssl.SSLError):  # the answer has not come: the socket's end says the same
                self.session.unwrap()
            self._drain()
            self._said_goodbye = True

    def output(self) -> bytes:
        """Ciphertext to be sent to the peer."""
        self._drain()
        ready, self._ready = self._ready, []
        return ready[0] if len(ready) == 1 else b"".join(ready)

    def _advance(self, plaintext: list[bytes]) -> bool:
        if self._early is not None and not self._shake_hands():
            return False
        try:
            while True:
                piece = self.session.read(_READ)
                if not piece:
                    return True
                plaintext.append(piece)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            return True
        finally:
            self.answered += self._drain()

    def _shake_hands(self) -> bool:
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._drain()
        early, self._early = self._early or (), None
        for each in early:
            self.write(each)
        if self._closing:
            self.close()
        return True

    def _drain(self) -> int:
        """Take out what is to be sent; how many bytes that were."""
        size = self.outgoing.pending
        if size:
            data = self.outgoing.read()
            if not self._said_goodbye:  # nothing may follow it, and nobody would read it
                self._ready.append(data)
        return size
