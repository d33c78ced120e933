"""What one process, one machine and a broker carry, and the arithmetic from there: docs/scaling.md."""
