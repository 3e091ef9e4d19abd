"""Bugs on the way of a vote to the log, and of what its sender is told."""

from __future__ import annotations

from quorate.cluster.submit.batch_queue import BatchQueue
from quorate.cluster.submit.leader_call import LeaderCall
from quorate.cluster.submit.submitter import Submitter
from quorate.ingest.consumer import QueueConsumer
from quorate.ingest.group import Group
from tests.mutants.planting import Change, Mutant

WITH_NEW_IDS = """\
batch.encoded = bytes(
    entry.encode_batch(
        [
            entry.CastVotes(each.choices, bytes(byte ^ 0x55 for byte in each.ids), each.picks, each.plain)
            if isinstance(each, entry.CastVotes)
            else each
            for each in entry.decode_batch(batch.encoded)
        ]
    )
)
self._pending.put_back(batch)"""

ANSWER_KNOWN = """\
known = self.__dict__.setdefault("_known_here", set())
ids = {vote.id for vote in votes}
if None not in ids and ids <= known:
    return Tallied(0, len(votes), [], self._replica.state.version)
known |= ids
if sent_ms is not None and"""

MUTANTS = (
    Mutant(
        "unknown-told-as-never",
        "Who asks is told that nothing was counted, where a vote was sent and no answer came.",
        (
            Change(
                LeaderCall.too_late,
                'return OutcomeUnknown("no answer in time")',
                'return NoLeader("no answer in time")',
            ),
        ),
    ),
    Mutant(
        "forwarding-retries-with-new-ids",
        "A batch whose outcome at the leader is unknown is sent again, under other ids.",
        (
            Change(
                BatchQueue._failed,
                "if again := may_try_again(error):",
                "again = may_try_again(error) or not getattr(error, 'definite', True)\nif may_try_again(error):",
            ),
            Change(BatchQueue._failed, "self._pending.put_back(batch)", WITH_NEW_IDS),
        ),
    ),
    Mutant(
        "duplicate-answered-before-commit",
        "A node calls a vote a duplicate as soon as it has seen its id, counted or not.",
        (Change(Submitter.cast, "if sent_ms is not None and", ANSWER_KNOWN),),
    ),
    Mutant(
        "early-fin",
        "A queue's message is finished when it is taken, and not when its votes are counted.",
        (
            Change(
                QueueConsumer._process,
                "tallied = await self._cast(group) if group.votes else Tallied(0, 0, [], 0)",
                "self._finish(group.deliveries)\n"
                "tallied = await self._cast(group) if group.votes else Tallied(0, 0, [], 0)",
            ),
        ),
    ),
    Mutant(
        "new-id-on-retry",
        "A queue's message gives its votes other ids each time that it comes.",
        (Change(Group.add, 'vote.id = f"{identity}:{index}"', 'vote.id = f"{identity}:{index}:{delivery.attempts}"'),),
    ),
)
