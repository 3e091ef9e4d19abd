"""The second door: votes and tallies for clients that speak Redis' protocol (RESP2 and RESP3)."""
