"""The clients of a chaos run: they vote, read, look, and write down all that they sent and were told.

They are as simple as correct clients can be, and share no code with Quorate's own client: a bug in its retries must not
hide a bug of the cluster.
"""
