"""The counter itself: a pure state machine over committed entries.

Given the same entries in the same order, every node reaches the same state, byte for byte. So nothing here reads a
clock, draws a random number, iterates a set, or uses Unicode's tables. The proposer has done all that, and the entry
carries the results. `apply` never raises, whatever the bytes are. A vote that cannot count gets an outcome, not an
error. A command that cannot be read gets `Refused` and changes nothing. Bytes that are no entry still take one version,
so that all nodes agree.

An entry is applied in this order: the version goes up by one, the chain of hashes takes in the entry, the leader's time
is taken over (it never goes backwards), polls that are due close, and then each command is applied in its order. For a
vote, its id is checked first, and then whether its choice can count. So a vote that was acknowledged before its poll
closed is a duplicate afterwards, not "closed", and a rejected vote does not use up its id. How votes are grouped into
commands changes no outcome, but for `Seen`, which says what the proposer of a batch knew.

The replica calls this on the node's event loop, one entry at a time. Readers use it on the same loop, through views
that never change.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from quorate.cluster import entry
from quorate.cluster.entry import Command, Done, Refused, Result
from quorate.cluster.state import image
from quorate.cluster.state.dedup import DedupView
from quorate.cluster.state.foresight import Foresight
from quorate.cluster.state.image import Image
from quorate.cluster.state.polls import Polls, PollView
from quorate.cluster.state.sessions import HowFar, Sessions
from quorate.cluster.state.shares import COMMON, Shares
from quorate.cluster.state.tally import Columns, Tally
from quorate.cluster.state.tombstones import Tombstone, Tombstones
from quorate.cluster.state.voting import Voting
from quorate.errors import DataError
from quorate.vote import ID_BYTES_MAX, SHARES_MAX

__all__ = ["Applied", "DedupView", "Image", "PollView", "StateMachine", "Tombstone"]

DEDUP_WINDOW = 1_000_000  # until FormCluster sets another
HASH_KEY_BYTES = 16
HIDDEN_LEVEL = 1  # from this feature level on, no option with hidden characters is written in
CHAIN_BYTES = 32

_decode_raw_batch = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_command = msgspec.msgpack.Decoder(Command).decode


def _too_new(command: Command) -> Result:
    return Refused("not all nodes of the cluster know this command yet")


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying one entry did."""

    version: int
    time_ms: int
    results: list[list[Result]]  # one list a batch, one result a command
    options: Collection[str]  # the options whose shared totals changed
    polls: Collection[str]  # the polls that changed otherwise: direct votes, state, creation, timed close


class StateMachine:
    """The state, and the rules by which entries change it. The parts are handed in when a snapshot is restored."""

    def __init__(
        self, tally: Tally | None = None, dedup: Shares | None = None, sessions: Sessions | None = None
    ) -> None:
        self.version = 0  # + 1 per entry
        self.time_ms = 0  # the leader's time (Unix); it never goes backwards
        self.cluster_id = ""
        self.hash_key = b""
        self.generation = 0  # 1 from FormCluster on
        self.level = 0  # the feature level of the cluster; it is only ever raised
        self.chain = bytes(CHAIN_BYTES)  # blake2b of the previous chain and the entry: equal chains, equal histories
        self._tally = Tally() if tally is None else tally
        self._dedup = Shares(DEDUP_WINDOW) if dedup is None else dedup
        self._sessions = Sessions() if sessions is None else sessions
        self._polls = Polls(self._tally)
        self._voting = voting = Voting(self._tally, self._dedup, self._sessions)
        self.foresight = Foresight(self._tally, self._dedup, self._sessions)
        self._known: dict[type, Callable[[Any], Result]] = {
            entry.CastVotes: voting.votes,
            entry.CastOnce: voting.once,
            entry.CastSession: voting.session,
            entry.OpenProducer: lambda command: self._sessions.open(command.producer),
            entry.CreatePoll: self._polls.create,
            entry.SetPollState: self._polls.set_state,
            entry.ChangePoll: self._polls.change,
            entry.FormCluster: self._form_cluster,
            entry.SetDedupWindow: self._set_dedup_window,
            entry.RaiseGeneration: self._raise_generation,
            entry.DeletePoll: self._delete_poll,
            entry.ForgetTombstones: self._forget_tombstones,
            entry.Seen: self._note_seen,
            entry.InShare: self._enter_share,
            entry.ForgetProducer: self._forget_producer,
            entry.RenewProducer: lambda command: self._sessions.open(command.producer, anew=True),
        }
        self._handlers = self._allowed()

    def _allowed(self) -> dict[type, Callable[[Any], Result]]:
        """The handlers at this feature level. A command that needs a higher one is refused, as by older programs."""
        self._polls.gives_numbers = self.level >= entry.LEVEL_NEEDED[entry.DeletePoll]
        self._tally.refuses_hidden = self.level >= HIDDEN_LEVEL
        refused = dict.fromkeys((kind for kind, level in entry.LEVEL_NEEDED.items() if level > self.level), _too_new)
        return {**self._known, **refused}

    def apply(self, data: bytes) -> Applied:
        """Apply the next committed entry. Never raises."""
        self._count(data)
        try:
            envelope = entry.decode_entry(data)
        except Exception:  # this is no entry: every node counts a version for it and goes on
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

    def raise_level(self, data: bytes) -> Applied:
        """Apply the next committed entry, which raises the feature level. Never raises an error."""
        self._count(data)
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.level = max(self.level, entry.decode_raise(data).level)
        self._handlers = self._allowed()
        return Applied(self.version, self.time_ms, [], (), ())

    def _count(self, data: bytes) -> None:
        """Take an entry into the version and the chain."""
        self.version += 1
        link = hashlib.blake2b(self.chain, digest_size=CHAIN_BYTES)
        link.update(data)
        self.chain = link.digest()

    def _batch(self, batch: bytes) -> list[Result]:
        self._tally.seen, self._voting.share = 0, COMMON  # each proposer knew something else
        try:
            commands = entry.decode_batch(batch)
        except Exception:
            return self._batch_piecewise(batch)
        return [self._handlers[type(command)](command) for command in commands]

    def _batch_piecewise(self, batch: bytes) -> list[Result]:
        """Apply a batch in which some command cannot be read: its other commands still count."""
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

    def _forget_producer(self, command: entry.ForgetProducer) -> Result:
        ids = self._dedup
        return self._sessions.forget(command, HowFar(ids.accepted, ids.window, self.version, self.time_ms))

    def _delete_poll(self, command: entry.DeletePoll) -> Result:
        return self._polls.delete(command, self._dedup.accepted + self._dedup.window)

    def _forget_tombstones(self, command: entry.ForgetTombstones) -> Result:
        before = len(self._tally.tombstones)
        for id, creation in command.polls:
            stone = self.tombstone(id)
            if stone is not None and stone.creation == creation and self.may_forget(stone):
                self._tally.tombstones.forget(stone)
        return Done(before - len(self._tally.tombstones))

    def _note_seen(self, command: entry.Seen) -> Result:
        self._tally.seen = command.creation
        return Done(command.creation)

    def _enter_share(self, command: entry.InShare) -> Result:
        is_one = COMMON <= command.share <= SHARES_MAX
        self._voting.share = command.share if is_one else COMMON
        return Done(command.share) if is_one else Refused(f"shares of the dedup window are 0 to {SHARES_MAX}")

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
        before, refused = self._dedup.window, self._dedup.set_window(command.size)
        if refused is not None:
            return Refused(refused)
        if command.size != before:
            self._tally.tombstones.outlast(self._dedup.accepted + self._dedup.window)
        return Done(self._dedup.window)

    def _raise_generation(self, command: entry.RaiseGeneration) -> Result:
        self.generation += 1
        return Done(self.generation)

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def freeze(self) -> Image:
        """Copy what may change, which takes milliseconds. The image may then be encoded on another thread."""
        tally, shares = self._tally, self._dedup.freeze_others()
        head = image.ImageHead(
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
            level=self.level,
            creations=tally.creations,
            tombstones=len(tally.tombstones),
            forgotten_ms=tally.tombstones.forgotten_ms,
            forgotten_producers=len(self._sessions.forgotten()),
            shares=len(shares),
        )
        return Image(
            head,
            tally.names.copy(),
            tally.totals.tobytes(),
            list(map(image.record_of, tally.polls.values())),
            self._sessions.freeze(),
            self._dedup.freeze_common(),
            tally.tombstones.all(),
            self._sessions.forgotten(),
            shares,
        )

    @classmethod
    def restore(cls, data: bytes) -> StateMachine:
        """The machine whose image was encoded into `data`. Raises `DataError` if it was not."""
        return cls.of(image.decode(data))

    @classmethod
    def of(cls, frozen: Image) -> StateMachine:
        try:
            return cls._thaw(frozen)
        except (ValueError, IndexError, OverflowError) as error:
            raise DataError(f"the snapshot's checksum is right, but its content makes no sense ({error})") from error

    @classmethod
    def _thaw(cls, frozen: Image) -> StateMachine:
        head, tally = frozen.head, Tally(Tombstones(frozen.tombstones, frozen.head.forgotten_ms))
        tally.restore_columns(frozen.names, frozen.totals)
        tally.counted, tally.creations = head.counted, head.creations
        for record in frozen.polls:
            tally.restore(image.poll_of(record, frozen.names))
        sessions = Sessions(frozen.sessions, frozen.forgotten_producers)
        machine = cls(tally, Shares.restore(frozen.dedup, frozen.shares), sessions)
        machine.version, machine.time_ms, machine.chain = head.version, head.time_ms, head.chain
        machine.cluster_id, machine.hash_key, machine.generation = head.cluster_id, head.hash_key, head.generation
        machine.level = head.level
        machine._handlers = machine._allowed()
        return machine

    def digest(self) -> str:
        """Hex blake2b of the image's bytes: equal on all nodes at equal version. It costs as much as a snapshot."""
        return self.freeze().digest().hex()

    # ---- views ------------------------------------------------------------------------------------------------------

    def poll(self, id: str) -> PollView | None:
        poll = self._tally.polls.get(id)
        return None if poll is None else self._polls.view(poll)

    def poll_keys(self) -> list[tuple[str, int]]:
        """The id of each poll, and the number of its creation, oldest first."""
        return [(poll.id, poll.creation) for poll in self._tally.polls.values()]

    def poll_version(self, id: str) -> int | None:
        poll = self._tally.polls.get(id)
        return None if poll is None else poll.version

    def polls(self, state: str | None = None) -> list[PollView]:
        """All polls, or those in one state, oldest first."""
        return [self._polls.view(poll) for poll in self._tally.polls.values() if state in (None, poll.state)]

    def results(self, id: str) -> dict[str, int] | None:
        poll = self._tally.polls.get(id)
        return None if poll is None else self._tally.results(poll)

    def columns(self, id: str) -> Columns | None:
        """A copy from which `results` can be made later, in steps: for a poll with very many options."""
        poll = self._tally.polls.get(id)
        return None if poll is None else self._tally.columns(poll)

    def results_of(self, id: str, options: Iterable[str]) -> dict[str, int] | None:
        """Like `results`, but only of these options. Options that the poll does not have are left out."""
        poll = self._tally.polls.get(id)
        return None if poll is None else self._tally.results_of(poll, options)

    def lists_any(self, id: str, options: Iterable[str]) -> bool:
        return id in self._tally.polls and not self._tally.polls[id].place.keys().isdisjoint(options)

    def initial_results(self, id: str) -> dict[str, int] | None:
        """The results that a poll was imported with. None if there is no such poll, or if it was not imported."""
        poll = self._tally.polls.get(id)
        if poll is None or poll.initial_results is None:
            return None
        return dict(zip(poll.names, poll.initial_results, strict=False))  # options that were written in later have none

    def next_close_ms(self) -> int | None:
        """When the next poll is due. It closes with the first entry of that time or later: the leader proposes one."""
        return self._polls.next_close_ms()

    def polls_with(self, option: str) -> Iterable[str]:
        """The polls in any state that list `option` and count votes that name no poll. Write-in polls do not."""
        shared = self._tally.index.get(option)
        return () if shared is None else tuple(self._tally.holders[shared])

    @property
    def dedup_window(self) -> int:
        return self._dedup.window

    def protected_ids(self, share: int) -> int:
        """For how many further ids of its share an id is protected that comes now."""
        return self._dedup.size_of(share if self.level >= entry.LEVEL_NEEDED[entry.InShare] else COMMON)

    def some_polls(self, at_most: int) -> list[str]:
        """The ids of the oldest polls, for people who look for one that is spelt like another."""
        return list(islice(self._tally.polls, at_most))

    def some_options(self, poll_id: str | None, at_most: int) -> list[str]:
        """Options of one poll, or of any open poll: no more than `at_most`, and the first of each."""
        if poll_id is not None:
            poll = self._tally.polls.get(poll_id)
            return [] if poll is None else poll.names[:at_most]
        names = zip(self._tally.names, self._tally.opens, strict=True)
        return [name for name, opens in islice(names, at_most) if opens]

    def dedup(self) -> DedupView:
        return self._dedup.view()

    @property
    def producers(self) -> Sessions:
        """Their sessions, to look at. What `freeze` gives of them is a copy."""
        return self._sessions

    @property
    def listings(self) -> int:
        """How many options all polls have together."""
        return self._tally.listings

    # ---- what was deleted -------------------------------------------------------------------------------------------

    def tombstone(self, id: str) -> Tombstone | None:
        """The last deletion of a poll with this id, as long as it is remembered. A new poll may have the id by now."""
        return self._tally.tombstones.get(id)

    def tombstones(self) -> Sequence[Tombstone]:
        return self._tally.tombstones.all()

    def may_forget(self, stone: Tombstone) -> bool:
        """Whether a tombstone is old enough."""
        ids = self._dedup
        return self._tally.tombstones.may_go(
            stone, accepted=ids.accepted, window=ids.window, version=self.version, time_ms=self.time_ms
        )

    @property
    def has_deleted(self) -> bool:
        """Whether a poll was ever deleted, as far as that still matters."""
        return bool(self._tally.tombstones or self._tally.tombstones.forgotten_ms or self._tally.newest_again)

    def since_ms(self, id: str) -> int:
        """Messages from before this time were not meant for this poll; 0 if it counts all."""
        poll = self._tally.polls.get(id)
        return 0 if poll is None else poll.since_ms

    @property
    def newest_again(self) -> int:
        """The newest creation of a poll that took the name of a deleted one, for `Seen`; 0: there was none."""
        return self._tally.newest_again
