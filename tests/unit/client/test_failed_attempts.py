"""What several failed attempts of one request mean together."""

from __future__ import annotations

from quorate.client.attempts import FailedAttempts
from quorate.client.error_replies import Unreached
from quorate.errors import NoLeader

NODES = ("http://a:8001", "http://b:8001")


def test_what_a_node_said_stands_though_the_last_attempt_reached_nobody() -> None:
    attempts = FailedAttempts(NODES, reads=False)
    said = NoLeader("no leader is known")
    attempts.add(Unreached("http://a:8001 cannot be reached"), 0.0)
    attempts.add(said, 5.0)
    attempts.add(Unreached("http://a:8001 cannot be reached"), 0.0)
    assert said is attempts.verdict()


def test_nobody_was_reached_if_no_node_ever_answered() -> None:
    attempts = FailedAttempts(NODES, reads=False)
    for node in NODES:
        attempts.add(Unreached(f"{node} cannot be reached"), 0.0)
    assert isinstance(attempts.verdict(), Unreached)
