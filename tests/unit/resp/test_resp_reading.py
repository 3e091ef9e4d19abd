"""What reads answer of a poll, of a poll that is not there, and of a key that can be none."""

from __future__ import annotations

from tests.support.resp_client import xadd
from tests.support.resp_node import running

NAMES = ("HGETALL", "HGET", "HMGET", "HEXISTS", "HLEN", "HKEYS", "HVALS", "XLEN", "EXISTS", "TYPE")
EMPTY = [[], None, [None, None], 0, 0, [], [], 0, 0, "none"]


def test_reads_tell_of_a_poll_what_is_there_and_of_anything_else_nothing() -> None:
    more = {"HGET": ("happy",), "HMGET": ("sad", "angry"), "HEXISTS": ("happy",)}
    with running() as node, node.connect() as client:
        node.create()
        client.send(xadd(1))
        client.reply()
        answers = {
            key: [client.ask(name, key, *more.get(name, ())) for name in NAMES]
            for key in ("poll:mood", "linearizable:poll:mood", "poll:nothing", "votes", "anything")
        }
    tally = [["happy", "1", "sad", "0"], "1", ["0", None], 1, 2, ["happy", "sad"], ["1", "0"], 1, 1, "hash"]
    assert [tally, tally, EMPTY, EMPTY, EMPTY] == list(answers.values())
