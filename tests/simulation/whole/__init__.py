"""Histories of whole nodes in virtual time: what stands above the replica, asked by the clients of `quorate chaos`."""
