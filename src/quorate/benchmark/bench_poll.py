"""The poll of a measurement: no other poll has its name, and no vote of anybody else can count in it.

A vote that names no poll counts in every open poll that has its option. So the option is as random as the name.
"""

from __future__ import annotations

import contextlib
import secrets

import msgspec

from quorate.client.http import JsonClient
from quorate.errors import BadTransition, Deleted, PollArchived, QuorateError, UnknownPoll

PREFIX = "quorate-bench-"


class TallyCheck(msgspec.Struct):
    """Whether the poll's tally is what was confirmed. `in_doubt`: votes that may be in it, and nobody said so."""

    confirmed: int
    in_doubt: int
    total: int

    @property
    def is_exact(self) -> bool:
        return self.confirmed <= self.total <= self.confirmed + self.in_doubt


class BenchPoll:
    def __init__(self, client: JsonClient) -> None:
        self._client = client
        self.id = PREFIX + secrets.token_hex(6)
        self.option = f"{self.id}-a"
        self._options = [self.option, f"{self.id}-b"]  # a poll needs two

    def create(self) -> None:
        title = "of quorate bench; it is removed when that ends"
        self._client.create_poll(self.id, self._options, title=title)

    def check(self, confirmed: int, in_doubt: int) -> TallyCheck:
        found = self._client.results(self.id, level="linearizable")
        return TallyCheck(confirmed, in_doubt, found["total"])

    def remove(self) -> None:
        """Idempotent, whatever state it is in. Raises if it may still be there."""
        try:
            creation = self._client.poll(self.id)["creation"]
            for state in ("closed", "archived"):
                with contextlib.suppress(BadTransition, PollArchived):  # it is there already, or beyond
                    self._client.set_poll_state(self.id, state)
            self._client.delete_poll(self.id, creation)
        except (UnknownPoll, Deleted):
            return

    def how_to_remove(self, why: QuorateError | KeyboardInterrupt) -> str:
        """What is said where `remove` failed."""
        reason = (why.detail or why.title) if isinstance(why, QuorateError) else "it was interrupted"
        return (
            f"the poll {self.id} may still be there: {reason}\n"
            f"Remove it: quorate polls close {self.id}; quorate polls archive {self.id}; quorate polls delete {self.id}"
        )


def leftovers(polls: list[str]) -> list[str]:
    """Polls of earlier measurements that were killed, or of others that run now."""
    return [id for id in polls if id.startswith(PREFIX)]
