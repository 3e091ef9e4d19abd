"""A double of nsqd and nsqlookupd for tests, where the real programs are not at hand.

It speaks the protocol a client can see: TCP in both directions, HTTP, registration and lookup, timeouts, misuse and its
errors, and it dies both ways: losing what was in memory, or keeping all. It takes the flags of the real programs, so
that a test starts either with the same line, and `test_conformance.py` holds both to one behaviour. It is not a queue
for production: one process, one core, everything in memory, a journal that only grows.

    python -m tests.doubles.nsq nsqd --tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0
    python -m tests.doubles.nsq nsqlookupd --tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0
"""
