"""One client for each peer: `python -m benchmarks.clients.PEER URL SIZE SECONDS` prints its round trips as JSON."""
