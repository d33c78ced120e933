"""The sub-protocol `wsmash.v1`: topics and requests over one connection; see docs/protocol.md."""
