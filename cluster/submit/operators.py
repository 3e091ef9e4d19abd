"""What operators ask of the state machine: each is a call of its own to the leader, never part of a batch of votes.

So a follower's sections hold nothing of that kind, and the leader need not look for it there (see `sections.py`). Nodes
of 0.1.0 do not know the call: below feature level 1 these commands travel in sections, as before.
"""

from __future__ import annotations

import asyncio

import msgspec

from quorate.cluster import entry
from quorate.cluster.entry import RaiseGeneration, Result, SetDedupWindow
from quorate.cluster.replica import Replica
from quorate.cluster.submit.leader_call import LeaderCall
from quorate.errors import OutcomeUnknown

LEVEL = 1
COMMANDS = (SetDedupWindow, RaiseGeneration)
ANSWER_S = 5.0

_Command = SetDedupWindow | RaiseGeneration


class _Operated(msgspec.Struct, array_like=True):
    """Between nodes: what applying the command gave."""

    version: int
    result: Result


_encode = msgspec.msgpack.Encoder().encode
_command = msgspec.msgpack.Decoder(_Command).decode
_operated = msgspec.msgpack.Decoder(_Operated).decode


class OperatorCommands:
    """Runs on the node's loop."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._calls = LeaderCall(
            replica,
            "operate",
            self._on_asked,
            no_leader="no leader is known: a majority of the nodes must be up and connected. Nothing was changed",
        )

    async def run(self, command: _Command, *, timeout_s: float) -> tuple[Result, int]:
        """The result, and the version that the command was applied at."""
        answer = await self._calls.ask(
            lambda left_s: (_encode(command), ANSWER_S + 1.0),
            here=lambda: self._propose(command),
            decode=_read,
            deadline_s=asyncio.get_running_loop().time() + timeout_s,
        )
        return answer.result, answer.version

    async def _propose(self, command: _Command) -> _Operated:
        replica = self._replica
        proposed = replica.propose(entry.encode_entry(replica.now_ms(), [entry.encode_batch([command])]))
        done, _ = await asyncio.wait([proposed], timeout=ANSWER_S)
        if not done:
            proposed.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise OutcomeUnknown("no majority confirmed it in time; look whether it holds")
        applied = proposed.result()
        return _Operated(applied.version, applied.results[0][0])

    async def _on_asked(self, peer: str, request: bytes) -> bytes:
        return _encode(await self._propose(_command(request)))


async def _read(answer: bytes) -> _Operated:
    return _operated(answer)
