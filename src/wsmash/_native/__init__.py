"""The native modules, translations of `native/` to Python; only `transports/native.py` imports them."""
