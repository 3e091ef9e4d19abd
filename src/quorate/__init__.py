"""Quorate: a fault-tolerant clustered counter. Votes are counted exactly once by a Raft group."""

__version__ = "0.2.0.dev0"
