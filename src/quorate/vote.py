"""A vote, its limits, and what can become of it.

Everything that depends on tables or taste (Unicode's normal forms, which characters are control characters) is decided
here, in the proposer, before the vote is in the log. The state machine sees only the result.
"""

from __future__ import annotations

import enum
import unicodedata

import msgspec

from quorate.errors import Invalid, TooLarge
from quorate.shown import hidden_character

OPTION_BYTES_MAX = 256
ID_BYTES_MAX = 128
WEIGHT_MAX = 1_000_000
TITLE_BYTES_MAX = 1_024
OPTIONS_PER_POLL_MAX = 100_000
OPTION_TEXT_PER_POLL_BYTES_MAX = 4 * 1024 * 1024
POLLS_MAX = 10_000
SHARES_MAX = 8  # of the dedup window, beside the common one
SHARE_WINDOW = 300_000  # ids of each: 30 full requests, enough for a client that tries again for 15 s
VOTES_PER_REQUEST_MAX = 10_000
REQUEST_BYTES_MAX = 4 * 1024 * 1024
ENTRY_BYTES_MAX = 8 * 1024 * 1024
TOTAL_MAX = 2**63 - 1
YEAR_9999_MS = 253_402_300_799_000  # the last second that a date can be written for; polls close before it


class Vote(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False
):  # gc=False: a request may have ten thousand, and they hold no cycles
    """One choice. Without `poll` it counts in every open poll with the option; without `id` a resend counts again.

    `first_only`: the first choice under the id counts, and a later vote that says this is ignored, whatever it chooses.
    """

    option: str
    id: str | None = None
    poll: str | None = None
    weight: int = 1
    first_only: bool = False  # not written where it is false: version 0.1.0 refuses fields that it does not know


class Outcome(enum.IntEnum):
    """What became of one vote. Nodes send each other the numbers: never use one for something else."""

    APPLIED = 0
    DUPLICATE = 1  # the same id and the same choice: it was counted before, and is acknowledged
    CONFLICT = 2  # the same id with another choice: the first vote stays
    UNKNOWN_OPTION = 3
    UNKNOWN_POLL = 4
    CLOSED = 5
    EXPIRED_ID = 6  # older than what a producer session remembers, so it cannot be compared and is not counted
    TOO_LARGE = 7  # a total would pass 2^63-1, or a write-in poll would have too many options
    INVALID = 8
    DELETED = 9  # its poll was deleted, or may have been: a new poll has the name. Only from feature level 1 on

    @property
    def reason(self) -> str:
        """The outcome's word in HTTP answers."""
        return self.name.lower()


class Rejection(msgspec.Struct, gc=False):
    """One vote of a request that did not count. `index` is its place in the request."""

    index: int
    id: str | None
    reason: str
    detail: str


class Tallied(msgspec.Struct):
    """What became of a request. Every vote is in exactly one of `applied`, `duplicates` and `rejected`."""

    applied: int
    duplicates: int
    rejected: list[Rejection]
    version: int

    def take_in(self, piece: Tallied, start: int) -> None:
        """What became of the votes from `start` on. `piece` is used up."""
        for rejection in piece.rejected:
            rejection.index += start
        self.applied += piece.applied
        self.duplicates += piece.duplicates
        self.rejected += piece.rejected
        self.version = piece.version


# How many characters a text may have before it is brought to NFC, for each byte that it may have then. NFC never makes
# fewer than two bytes of three characters (ΐ). And its time grows with the square of the marks in a row: 60,000 took
# three seconds, in which nothing else of the process went on.
CHARACTERS_A_BYTE = 2


def normal_form(text: str) -> str:
    """The spelling (NFC) in which ids and options are kept. What is looked up must be brought to it, too.

    What is longer than any of these is not there in any spelling, and stays as it is.
    """
    if text.isascii() or len(text) > CHARACTERS_A_BYTE * OPTION_BYTES_MAX:
        return text
    return unicodedata.normalize("NFC", text)


def check_text(text: str, what: str, bytes_max: int) -> str:
    """The text in NFC. Raises `Invalid` or `TooLarge`, in words, if it is empty, too long or has control characters."""
    if text.isascii():
        if not text.isprintable():
            raise Invalid(f"{what} has a control character; remove it")
        size = len(text)
    else:
        if len(text) > CHARACTERS_A_BYTE * bytes_max:
            raise TooLarge(
                f"{what} has {len(text)} characters; the limit is {bytes_max} bytes of UTF-8", limit=bytes_max
            )
        text = unicodedata.normalize("NFC", text)
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
            raise Invalid(f"{what} has a control character or half a surrogate pair; remove it")
        size = len(text.encode())
    if not size:
        raise Invalid(f"{what} is empty; give 1 to {bytes_max} bytes of UTF-8")
    if size > bytes_max:
        raise TooLarge(f"{what} has {size} bytes of UTF-8; the limit is {bytes_max}", limit=bytes_max)
    return text


def check_name(text: str, what: str, bytes_max: int) -> str:
    """`check_text` for what is new: ids of polls, their titles and options, producers.

    It refuses what nobody sees too, as signs that turn the direction of text: by these, a name looks like another one.
    What stands in a log already is asked for, and voted for, as it is: only `check_text` looks at that.
    """
    text = check_text(text, what, bytes_max)
    if hidden := hidden_character(text):
        raise Invalid(f"{what} has a character that nobody sees, U+{ord(hidden):04X}; remove it")
    return text


def check_vote(vote: Vote) -> Vote:
    """The same vote, its texts in NFC. Raises `Invalid` or `TooLarge`, which say what is wrong and what is allowed."""
    vote.option = check_text(vote.option, "option", OPTION_BYTES_MAX)
    if vote.id is not None:
        vote.id = check_text(vote.id, "id", ID_BYTES_MAX)
    if vote.poll is not None:
        vote.poll = check_text(vote.poll, "poll", ID_BYTES_MAX)
    if not 1 <= vote.weight <= WEIGHT_MAX:
        raise Invalid(f"weight is {vote.weight}; give a whole number from 1 to {WEIGHT_MAX:,}")
    return vote
