# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=True
"""The codec twin: what `native/*.c` finds as Python objects, and what is sent as bytes.

No rule of the protocol stands here: the receiver's are in `native/receiver.c`.
`benchmarks/codec.py` shows what it is worth.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport SIZE_MAX, UINT32_MAX, UINT64_MAX, uint64_t

from wsmash._native.wire cimport (
    WS_CONTROL,
    WS_FAULT_DEFLATE_INVALID,
    WS_FAULT_MESSAGE_TOO_BIG,
    WS_FAULT_TEXT_INVALID,
    WS_FIN,
    WS_MAX_HEAD,
    WS_MESSAGE,
    WS_MORE,
    WS_OPCODE_TEXT,
    WS_PIECE,
    WS_RSV1,
    WS_UTF8_INVALID,
    WS_UTF8_WHOLE,
    ws_copy,
    ws_frame_head,
    ws_item,
    ws_mask,
    ws_receive,
    ws_received,
    ws_receiver_init,
    ws_receiver_stop,
    ws_step,
    ws_utf8,
)

import os

from wsmash.constants import Role
from wsmash.sansio import sender as pure_sender
from wsmash.sansio.deflate import Deflater, Inflater, InvalidDeflate, MessageTooLong
from wsmash.sansio.receiver import VIOLATION as pure_violation
from wsmash.sansio.violations import Violation

cdef Py_ssize_t POOL = 4096
"""Bytes that are drawn from the system at once."""


# -- masking keys

cdef unsigned long _forks = 0


def _forked():
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


cdef class MaskPool:
    """Unpredictable masking keys (RFC 6455 10.3), drawn from the system many at a time.

    A forked child has a copy of the pool, whose keys its parent will use: it draws anew.
    """

    def __cinit__(self):
        self._pool = b""
        self._at = 0
        self._forks = _forks

    def __call__(self, Py_ssize_t count):
        """So many unpredictable bytes, as `os.urandom` gives them."""
        if count != 4:
            return os.urandom(count)
        return PyBytes_FromStringAndSize(<const char *>self.take(), 4)

    cdef const uint8_t *take(self) except NULL:
        """The next four bytes, there until the next call."""
        if self._at + 4 > PyBytes_GET_SIZE(self._pool) or self._forks != _forks:
            self._pool = os.urandom(POOL)
            self._forks = _forks
            self._at = 0
        self._at += 4
        return <const uint8_t *>PyBytes_AS_STRING(self._pool) + self._at - 4


# -- frames

def frame_head(uint8_t first, uint64_t length, bytes mask=None):
    """The head of a frame, with its length in the shortest form.

    Args:
        first: the first byte: FIN, RSV1 and the opcode.
        length: of the payload, in bytes.
        mask: the masking key, four bytes; None where the sender is a server.
    """
    cdef uint8_t head[WS_MAX_HEAD]
    cdef const uint8_t *key = NULL
    if mask is not None:
        key = <const uint8_t *>PyBytes_AS_STRING(_checked(mask))
    cdef size_t size = ws_frame_head(head, first, length, key)
    return PyBytes_FromStringAndSize(<const char *>head, size)


def apply_mask(data, bytes mask not None, offset=0):
    """Mask or unmask a piece of a payload (RFC 6455 5.3).

    Args:
        data: the piece.
        mask: the masking key, four bytes.
        offset: how many bytes of the payload came before the piece.
    """
    cdef Py_buffer view
    cdef bytes result
    cdef uint64_t place = offset & 3
    _checked(mask)
    PyObject_GetBuffer(_contiguous(data), &view, PyBUF_SIMPLE)
    try:
        result = PyBytes_FromStringAndSize(NULL, view.len)
        ws_mask(
            <uint8_t *>PyBytes_AS_STRING(result), <const uint8_t *>view.buf, view.len,
            <const uint8_t *>PyBytes_AS_STRING(mask), place,
        )
        return result
    finally:
        PyBuffer_Release(&view)


cdef bytes _checked(bytes mask):
    if PyBytes_GET_SIZE(mask) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(mask)}")
    return mask


cdef object _contiguous(data):
    """The same bytes without gaps."""
    if isinstance(data, memoryview) and not data.c_contiguous:
        return data.tobytes()
    return data


include "receiver.pxi"
include "sender.pxi"
