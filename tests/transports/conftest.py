"""What the tests of drivers and channels share."""

from fixtures.driver import bench, driver
from fixtures.native import native_engine, natives

__all__ = ["bench", "driver", "native_engine", "natives"]
