"""One server for each peer: `python -m benchmarks.servers.PEER WORK [CERTIFICATE KEY]` prints its port and serves.

WORK is "echo"; "deflate", an echo with permessage-deflate; or "broadcast", which
sends what one connection says to all. Only this package also knows "coroutine" and
"iterate", an echo by coroutine callbacks and by `async for`.
"""
