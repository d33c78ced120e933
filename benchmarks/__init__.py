"""How fast the package is beside its peers: `make bench` runs all of it; see `__main__.py`."""
