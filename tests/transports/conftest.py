"""What the tests of drivers and channels share."""

from fixtures.driver import bench

__all__ = ["bench"]
