"""Raft messages as bytes: each message is decoded as it was; all other bytes are one of the errors in `MALFORMED`."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cluster.raft import messages

MESSAGES = [
    messages.Append(3, 2, 1, 1, [(1, b""), (3, bytes(range(256)))], 7),
    messages.Append(2**62, 0, 0, 0, []),
    messages.Appended(3, 12, success=True, reset=False, round=7),
    messages.RequestBallot(4, 11, 3, pre=True, transfer=False, to="1f2e"),
    messages.Ballot(4, pre=False),
    messages.TimeoutNow(4),
    messages.SnapshotChunk(4, 90, 3, bytes(16), b"members", 2**40, "0f" * 16, 2**39, b"piece"),
    messages.SnapshotAck(4, "0f" * 16, 2**40),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: messages.Message) -> None:
    assert message == messages.decode(messages.encode(message))


def test_a_field_of_a_newer_version_is_ignored() -> None:
    newer = [*msgspec.msgpack.decode(messages.encode(messages.Ballot(4, pre=True))), "something new"]
    assert messages.Ballot(4, pre=True) == messages.decode(messages.encode(newer))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    _message_or_error(data)


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_bytes_changed_is_a_message_or_malformed(message: messages.Message, data: st.DataObject) -> None:
    changed = bytearray(messages.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    _message_or_error(bytes(changed))


def _message_or_error(data: bytes) -> None:
    try:
        message = messages.decode(data)
    except messages.MALFORMED:
        return
    assert message == messages.decode(messages.encode(message))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_beginning_of_a_message_is_malformed(message: messages.Message) -> None:
    data = messages.encode(message)
    for size in range(len(data)):
        with pytest.raises(messages.MALFORMED):
            messages.decode(data[:size])


BOUNDS = {
    "a term below zero": [5, -1],
    "a term that leaves no room for the next": [5, 2**63 - 1],
    "an index below zero": [2, 1, -7, True, False],
    "an entry's term below zero": [1, 1, 0, 0, 0, [[-1, b""]]],
    "a short chain": [6, 1, 9, 1, bytes(15), b"", 10, "0" * 32, 0, b""],
    "a long chain": [6, 1, 9, 1, bytes(17), b"", 10, "0" * 32, 0, b""],
    "an offset below zero": [6, 1, 9, 1, bytes(16), b"", 10, "0" * 32, -1, b""],
    "an id that is a path": [7, 1, "../../../../etc/quorate/" + "0" * 8, 0],
    "an id with a newline behind it": [7, 1, "0" * 32 + "\n", 0],
    "an id in capitals": [7, 1, "F" * 32, 0],
    "no type": [],
    "a type of no message": [0, 1],
}


@pytest.mark.parametrize("said", BOUNDS.values(), ids=BOUNDS.keys())
def test_a_number_out_of_bounds_is_malformed(said: list[object]) -> None:
    with pytest.raises(messages.MALFORMED):
        messages.decode(messages.encode(said))
