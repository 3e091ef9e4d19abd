"""Bugs of the state machine: what is counted, what is known to have been counted, and until when."""

from __future__ import annotations

from quorate.cluster.fsm import StateMachine
from quorate.cluster.state.admission import Admission
from quorate.cluster.state.dedup import Dedup
from quorate.cluster.state.polls import Polls
from quorate.cluster.state.sessions import Sessions
from quorate.cluster.state.shares import Shares
from quorate.cluster.state.voting import Voting
from tests.mutants.planting import Change, Mutant

FORGET_BY_CLOCK = """\
now = self._tally.time_ms // 1_000
if now != getattr(self, "_second", now):
    for table in self._dedup._tables.values():
        table._closed, table._count, table._buckets = [], 0, [b""] * len(table._buckets)
self._second = now
outcomes, apart = self._dedup.accept("""

MUTANTS = (
    Mutant(
        "snapshot-without-the-dedup-window",
        "A snapshot leaves out which ids were counted.",
        (
            Change(
                Shares.restore,
                "shares._common = shares._tables[COMMON] = Dedup.restore(common)",
                "shares._common.accepted = common.accepted",
            ),
        ),
    ),
    Mutant(
        "snapshot-without-sessions",
        "A snapshot leaves out how far each session is.",
        (
            Change(
                StateMachine._thaw,
                "Sessions(frozen.sessions, frozen.forgotten_producers)",
                "Sessions({}, frozen.forgotten_producers)",
            ),
        ),
    ),
    Mutant(
        "dedup-by-clock",
        "Ids are forgotten after a second, whatever was promised about the next ids.",
        (Change(Voting._with_ids, "outcomes, apart = self._dedup.accept(", FORGET_BY_CLOCK),),
    ),
    Mutant(
        "dedup-window-trimmed-early",
        "Ids are forgotten as soon as their generation is full, and not a window later.",
        (Change(Dedup._close, "self.accepted + promised", "self.accepted + 1"),),
    ),
    Mutant(
        "session-floor-lost",
        "Who opens a session again is told that it may begin at the first sequence, and may.",
        (
            Change(
                Sessions.open,
                "self._sessions[producer] = (epoch + 1, sequence, recent)",
                "sequence, recent = 0, ()\nself._sessions[producer] = (epoch + 1, sequence, recent)",
            ),
        ),
    ),
    Mutant(
        "old-epoch-counts",
        "A writer that lost its session still counts in it.",
        (Change(Sessions.check, "if request.epoch != epoch:", "if request.epoch > epoch:"),),
    ),
    Mutant(
        "closing-by-the-local-clock",
        "Each node closes a poll by its own clock, and not by the time in the log.",
        (
            Change(
                Polls.close_due,
                "while self._closing and self._closing[0][0] <= self._tally.time_ms:",
                'now_ms = __import__("time").time() * 1000\nwhile self._closing and self._closing[0][0] <= now_ms:',
            ),
        ),
    ),
    Mutant(
        "votes-after-the-close",
        "A closed poll still counts the votes that name it.",
        (
            Change(Admission._lists, 'and poll.state == "open"', ""),
            Change(Admission._admit_choice, 'if poll.state != "open":', 'if poll.state == "archived":'),
        ),
    ),
)
