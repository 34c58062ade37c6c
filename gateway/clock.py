"""The clock of deadlines and latencies. Its compiled twin, `clock.pyx`, gives a C number where this gives an object."""

from time import monotonic

__all__ = ["monotonic"]
