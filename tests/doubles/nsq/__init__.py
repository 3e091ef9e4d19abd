"""A double of nsqd and nsqlookupd, for tests on machines that do not have the real programs.

It does what a client can see of them: TCP in both directions, HTTP, registration and lookup, timeouts, and the errors
that misuse gets. When it is killed, it loses what was in memory, or keeps everything if it was told to. It takes the
flags of the real programs, so that a test starts either of them with the same line, and `test_conformance.py` runs on
both. It is not a queue for production: it is one process on one core, has everything in memory, and its journal only
grows.

    python -m tests.doubles.nsq nsqd --tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0
    python -m tests.doubles.nsq nsqlookupd --tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0
"""
