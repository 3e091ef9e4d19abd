"""The counter itself: a pure state machine over committed entries.

Given the same entries in the same order, every node reaches the same state, byte for byte. So nothing here reads a
clock, draws a random number, iterates a set, or asks Unicode's tables: the proposer has done all that, and the entry
carries the results. `apply` never raises, whatever the bytes. A vote that cannot count has an outcome, not an error; a
command that cannot be read is `Refused` and changes nothing; what is no entry at all still takes one version, so that
all nodes agree.

One entry goes: version + 1, the chain of hashes, the leader's time (never backwards), polls that are due close, then
each command in its order. For a vote: its id first, then what it is for. So a vote acknowledged before a poll closed
is a duplicate afterwards, not "closed"; and a rejected vote does not use up its id. How votes are grouped into
commands changes no outcome.

Called by the replica on the node's loop, one entry at a time; read on the same loop through views that never change.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from quorate.cluster import entry
from quorate.cluster.entry import Command, Done, Refused, Result
from quorate.cluster.state import image
from quorate.cluster.state.dedup import Dedup, DedupView
from quorate.cluster.state.image import Image
from quorate.cluster.state.polls import Polls, PollView
from quorate.cluster.state.sessions import Sessions
from quorate.cluster.state.tally import Columns, Tally
from quorate.cluster.state.voting import Voting
from quorate.errors import DataError
from quorate.vote import ID_BYTES_MAX

__all__ = ["Applied", "DedupView", "Image", "PollView", "StateMachine"]

DEDUP_WINDOW = 1_000_000  # until FormCluster says another
HASH_KEY_BYTES = 16
CHAIN_BYTES = 32

_decode_raw_batch = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_command = msgspec.msgpack.Decoder(Command).decode


@dataclass(frozen=True, slots=True)
class Applied:
    """What one entry did."""

    version: int
    time_ms: int
    results: list[list[Result]]  # one list a batch, one result a command
    options: Collection[str]  # whose shared totals changed
    polls: Collection[str]  # changed otherwise: direct votes, state, creation, timed close


class StateMachine:
    def __init__(self) -> None:
        self.version = 0  # + 1 per entry
        self.time_ms = 0  # the leader's time (Unix), never backwards
        self.cluster_id = ""
        self.hash_key = b""
        self.generation = 0  # 1 from FormCluster on
        self.chain = bytes(CHAIN_BYTES)  # blake2b of the chain before and the entry: one history, one chain
        self._assemble(Tally(), Dedup(DEDUP_WINDOW), Sessions())

    def _assemble(self, tally: Tally, dedup: Dedup, sessions: Sessions) -> None:
        self._tally, self._dedup, self._sessions = tally, dedup, sessions
        self._polls = Polls(tally)
        voting = Voting(tally, dedup, sessions)
        self._handlers: dict[type, Callable[[Any], Result]] = {
            entry.CastVotes: voting.votes,
            entry.CastOnce: voting.once,
            entry.CastSession: voting.session,
            entry.OpenProducer: self._open_producer,
            entry.CreatePoll: self._polls.create,
            entry.SetPollState: self._polls.set_state,
            entry.FormCluster: self._form_cluster,
            entry.SetDedupWindow: self._set_dedup_window,
            entry.RaiseGeneration: self._raise_generation,
        }

    def apply(self, data: bytes) -> Applied:
        """Apply the next committed entry. Never raises."""
        self.version += 1
        link = hashlib.blake2b(self.chain, digest_size=CHAIN_BYTES)
        link.update(data)
        self.chain = link.digest()
        try:
            envelope = entry.decode_entry(data)
        except Exception:  # no entry, however it is broken: every node counts it and goes on
            return Applied(self.version, self.time_ms, [], (), ())
        if envelope.format != entry.FORMAT:
            return Applied(
                self.version, self.time_ms, [[Refused("an unknown format")] for _ in envelope.batches], (), ()
            )
        self.time_ms = max(self.time_ms, envelope.time_ms)
        self._tally.version, self._tally.time_ms = self.version, self.time_ms
        self._polls.close_due()
        results = [self._batch(batch) for batch in envelope.batches]
        return Applied(self.version, self.time_ms, results, *self._tally.take_changes())

    def _batch(self, batch: bytes) -> list[Result]:
        try:
            commands = entry.decode_batch(batch)
        except Exception:
            return self._batch_piecewise(batch)
        return [self._handlers[type(command)](command) for command in commands]

    def _batch_piecewise(self, batch: bytes) -> list[Result]:
        """A batch of which some command cannot be read must not cost its other commands."""
        try:
            commands = _decode_raw_batch(batch)
        except Exception as error:
            return [Refused(f"the batch cannot be read: {error}")]
        return [self._raw_command(command) for command in commands]

    def _raw_command(self, data: msgspec.Raw) -> Result:
        try:
            command = _decode_command(data)
        except Exception as error:
            return Refused(f"the command cannot be read: {error}")
        return self._handlers[type(command)](command)

    # ---- commands that are not votes --------------------------------------------------------------------------------

    def _open_producer(self, command: entry.OpenProducer) -> Result:
        return self._sessions.open(command.producer)

    def _form_cluster(self, command: entry.FormCluster) -> Result:
        if self.cluster_id:
            return Done(self._dedup.window)
        if not 1 <= len(command.cluster_id.encode()) <= ID_BYTES_MAX or len(command.hash_key) != HASH_KEY_BYTES:
            return Refused(f"a cluster has a name and a key of {HASH_KEY_BYTES} bytes")
        refused = self._dedup.set_window(command.dedup_window)
        if refused is not None:
            return Refused(refused)
        self.cluster_id, self.hash_key, self.generation = command.cluster_id, command.hash_key, 1
        return Done(self._dedup.window)

    def _set_dedup_window(self, command: entry.SetDedupWindow) -> Result:
        refused = self._dedup.set_window(command.size)
        return Done(self._dedup.window) if refused is None else Refused(refused)

    def _raise_generation(self, command: entry.RaiseGeneration) -> Result:
        self.generation += 1
        return Done(self.generation)

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def freeze(self) -> Image:
        """Copy what may change: milliseconds. The image may then be encoded on another thread."""
        tally = self._tally
        head = image.Head(
            version=self.version,
            time_ms=self.time_ms,
            cluster_id=self.cluster_id,
            hash_key=self.hash_key,
            generation=self.generation,
            chain=self.chain,
            counted=tally.counted,
            options=len(tally.names),
            polls=len(tally.polls),
            producers=len(self._sessions),
        )
        polls = list(map(image.record_of, tally.polls.values()))
        return Image(
            head, tally.names.copy(), tally.totals.tobytes(), polls, self._sessions.freeze(), self._dedup.freeze()
        )

    @classmethod
    def restore(cls, data: bytes) -> StateMachine:
        """The machine that an image was frozen from. Raises `DataError` on anything but what `Image.encode` gave."""
        frozen = image.decode(data)
        try:
            return cls._thaw(frozen)
        except (ValueError, IndexError, OverflowError) as error:
            raise DataError(f"the snapshot's checksum is right, but its content makes no sense ({error})") from error

    @classmethod
    def _thaw(cls, frozen: Image) -> StateMachine:
        machine, head = cls(), frozen.head
        machine.version, machine.time_ms, machine.chain = head.version, head.time_ms, head.chain
        machine.cluster_id, machine.hash_key, machine.generation = head.cluster_id, head.hash_key, head.generation
        tally = Tally()
        tally.share(frozen.names)
        tally.totals, tally.counted = array("q", frozen.totals), head.counted
        for record in frozen.polls:
            tally.restore(image.poll_of(record, frozen.names))
        machine._assemble(tally, Dedup.restore(frozen.dedup), Sessions(frozen.sessions))
        return machine

    def digest(self) -> str:
        """Hex blake2b of the image's bytes: equal on all nodes at equal version. Costs as much as a snapshot."""
        return self.freeze().digest().hex()

    # ---- views ------------------------------------------------------------------------------------------------------

    def poll(self, id: str) -> PollView | None:
        poll = self._tally.polls.get(id)
        return None if poll is None else self._polls.view(poll)

    def polls(self, state: str | None = None) -> list[PollView]:
        """All polls, or those in one state, oldest first."""
        return [self._polls.view(poll) for poll in self._tally.polls.values() if state in (None, poll.state)]

    def results(self, id: str) -> dict[str, int] | None:
        poll = self._tally.polls.get(id)
        return None if poll is None else self._tally.results(poll)

    def columns(self, id: str) -> Columns | None:
        """Like `results`, to be put together later: for a poll with very many options."""
        poll = self._tally.polls.get(id)
        return None if poll is None else self._tally.columns(poll)

    def results_of(self, id: str, options: Iterable[str]) -> dict[str, int] | None:
        """Like `results`, of these options only; those the poll does not have are left out."""
        poll = self._tally.polls.get(id)
        return None if poll is None else self._tally.results_of(poll, options)

    def initial_results(self, id: str) -> dict[str, int] | None:
        """The results a poll was imported with; None if there is no such poll or it was not imported."""
        poll = self._tally.polls.get(id)
        if poll is None or poll.initial_results is None:
            return None
        return dict(zip(poll.names, poll.initial_results, strict=False))  # options written in later had none

    def next_close_ms(self) -> int | None:
        """When the next poll is due. It closes with the first entry of that time or later, so a leader makes one."""
        return self._polls.next_close_ms()

    def polls_with(self, option: str) -> Iterable[str]:
        """The polls, in any state, in which votes that name no poll count for `option`: not the write-in polls."""
        shared = self._tally.index.get(option)
        return () if shared is None else tuple(self._tally.holders[shared])

    def dedup(self) -> DedupView:
        return self._dedup.view()

    def producers(self) -> int:
        return len(self._sessions)
