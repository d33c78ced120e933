"""Several processes that serve one server: a parent, which loads nothing of it, and workers, which each load it."""
