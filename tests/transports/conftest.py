"""What the tests of drivers and channels share."""

from fixtures.driver import bench, driver

__all__ = ["bench", "driver"]
