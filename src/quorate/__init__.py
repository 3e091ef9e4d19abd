"""Quorate: a fault-tolerant clustered counter. Votes are counted exactly once by a Raft group."""

__version__ = "0.1.0"
