/* The numbers of RFC 6455 5, for C.
 *
 * Written by tools/native_tables.py from constants.py, sansio/frames.py and
 * sansio/violations.py; `make lint` fails where they differ.
 */
#ifndef WSMASH_TABLES_H
#define WSMASH_TABLES_H

/* -- constants.py */
#define WS_MAX_CONTROL_PAYLOAD 125
#define WS_OPCODE_CONTINUATION 0x0
#define WS_OPCODE_TEXT 0x1
#define WS_OPCODE_BINARY 0x2
#define WS_OPCODE_CLOSE 0x8
#define WS_OPCODE_PING 0x9
#define WS_OPCODE_PONG 0xa

/* -- frames.py */
#define WS_FIN 0x80
#define WS_RSV1 0x40
#define WS_RESERVED 0x30
#define WS_OPCODE 0x0f
#define WS_MASKED 0x80
#define WS_LENGTH 0x7f
#define WS_MAX_LENGTH UINT64_C(0x7fffffffffffffff)

/* -- violations.py */
#define WS_FAULT_RESERVED_BITS 1
#define WS_FAULT_RESERVED_OPCODE 2
#define WS_FAULT_UNMASKED 3
#define WS_FAULT_MASKED 4
#define WS_FAULT_LENGTH_NOT_MINIMAL 5
#define WS_FAULT_LENGTH_OUT_OF_RANGE 6
#define WS_FAULT_CONTROL_FRAGMENTED 7
#define WS_FAULT_CONTROL_TOO_LONG 8
#define WS_FAULT_CONTINUATION_FIRST 9
#define WS_FAULT_MESSAGE_UNFINISHED 10
#define WS_FAULT_CLOSE_TOO_SHORT 11
#define WS_FAULT_CLOSE_CODE_INVALID 12
#define WS_FAULT_CLOSE_REASON_INVALID 13
#define WS_FAULT_TEXT_INVALID 14
#define WS_FAULT_DEFLATE_INVALID 15
#define WS_FAULT_MESSAGE_TOO_BIG 16
#define WS_FAULT_TOO_MANY_FRAGMENTS 17

#endif
