"""From `XADD key IDMP producer iid * option NAME [weight N]` to a vote, and from what became of it to a reply.

Redis has this command since 8.6: an entry is added once for each pair of producer and iid in one key. Here that pair
makes the vote's id, so a client that tries again by itself counts once. What is hashed are the key, the producer and
the iid, each with its length before it: no two of them can be taken for others.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from quorate.cluster.entry import ID_HASH_BYTES
from quorate.cluster.submit.batch import TOLD
from quorate.cluster.submit.choices import Key
from quorate.errors import Invalid
from quorate.resp.encoding import bulk, failure
from quorate.resp.keys import ANY_POLL, key_of, poll_of, text_of
from quorate.vote import WEIGHT_MAX, Outcome, Vote, check_vote

ID_PREFIX = b"\0resp"  # ids over HTTP have no such character, so none of them is an id of this door
NAME_BYTES_MAX = 1_024  # of a producer, or of an iid
ARGUMENTS_MIN = 5  # of an XADD, with its name
WEIGHT_DIGITS = len(str(WEIGHT_MAX))
FORM = "XADD poll:ID IDMP PRODUCER IID * option NAME [weight N]"
UNKEYED = f"clients send a command again by themselves, and this would count again: send {FORM}"
CODES = {
    Outcome.CONFLICT.reason: "CONFLICT",
    Outcome.UNKNOWN_OPTION.reason: "NOOPTION",
    Outcome.UNKNOWN_POLL.reason: "NOPOLL",
    Outcome.CLOSED.reason: "CLOSED",
    Outcome.EXPIRED_ID.reason: "EXPIREDID",
    Outcome.TOO_LARGE.reason: "TOOLARGE",
    Outcome.INVALID.reason: "ERR",
    Outcome.DELETED.reason: "DELETED",
}


class AddedVote:
    """What an XADD says. `pair`: producer and iid; None: the vote has no id."""

    __slots__ = ("option", "pair", "poll", "weight")

    def __init__(self, vote: Vote, pair: tuple[bytes, bytes] | None) -> None:
        self.option, self.poll, self.weight = vote.option, vote.poll, vote.weight
        self.pair = pair

    @property
    def key(self) -> Key:
        return self.option, self.poll, self.weight

    def id_hash(self, hash_key: bytes) -> bytes | None:
        if self.pair is None:
            return None
        hashed = self.begun_hash(hash_key)
        hashed.update(bulk(self.pair[1])[1:-2])
        return hashed.digest()

    def begun_hash(self, hash_key: bytes) -> blake2b:
        """The hash of the id up to the length of the iid. Without a poll the key is `votes`, which no key of a poll
        looks like."""
        assert self.pair is not None
        key = ANY_POLL if self.poll is None else key_of(self.poll)
        told = b"%b%b%b$" % (ID_PREFIX, bulk(key), bulk(self.pair[0]))
        return blake2b(told, digest_size=ID_HASH_BYTES, key=hash_key)


def is_usual(command: list[bytes]) -> bool:
    """Whether it looks like FORM, as nearly all do."""
    return len(command) in (8, 10) and command[2].upper() == b"IDMP" and command[5] == b"*"


def read_vote(command: list[bytes], *, allow_unkeyed: bool) -> AddedVote:
    """Raises `Invalid` or `TooLarge`."""
    if len(command) < ARGUMENTS_MIN:
        raise Invalid("wrong number of arguments for 'xadd' command")
    producer: bytes | None
    iid: bytes | None
    if is_usual(command):
        producer, iid, (entry_id, *fields) = command[3], command[4], command[5:]
    else:
        producer, iid, (entry_id, *fields) = _read_options(command, allow_unkeyed)
    if entry_id != b"*":
        raise Invalid(f"the id of the entry is {_shown(entry_id)}; give *, because the cluster gives it")
    if len(fields) not in (2, 4) or fields[0].lower() != b"option":
        raise Invalid(f"give the fields option and weight, in this order and no others: {FORM}")
    vote = Vote(text_of(fields[1], "option"), None, poll_of(command[1]))
    if len(fields) == 4:
        if fields[2].lower() != b"weight":
            raise Invalid(f"the second field is {_shown(fields[2])}; only weight may stand there: {FORM}")
        vote.weight = weight_of(fields[3])
    check_vote(vote)
    if producer is None or iid is None:
        return AddedVote(vote, None)
    if not producer or not iid or len(producer) > NAME_BYTES_MAX or len(iid) > NAME_BYTES_MAX:
        raise Invalid(f"producer and iid have 1 to {NAME_BYTES_MAX:,} bytes each")
    return AddedVote(vote, (producer, iid))


def _read_options(command: list[bytes], allow_unkeyed: bool) -> tuple[bytes | None, bytes | None, list[bytes]]:
    """The producer, the iid, and the rest, of what has not the usual form."""
    at = 2
    pair: tuple[bytes, bytes] | tuple[None, None] = (None, None)
    while at < len(command) and (word := command[at].upper()) != b"*":
        if word == b"NOMKSTREAM":  # no vote makes a poll
            at += 1
        elif word == b"IDMP" and len(command) > at + 2:
            if pair != (None, None):
                raise Invalid(f"IDMP stands twice, and a vote has one id: send {FORM}")
            pair, at = (command[at + 1], command[at + 2]), at + 3
        elif word == b"IDMPAUTO":
            raise Invalid(f"IDMPAUTO takes two equal votes of one producer for one: send {FORM}")
        elif word in (b"MAXLEN", b"MINID", b"KEEPREF", b"DELREF", b"ACKED"):
            raise Invalid(f"{word.decode()} is for streams, and polls keep all that was counted: send {FORM}")
        else:
            break
    if len(command) <= at:
        raise Invalid(f"the command ends too early: {FORM}")
    if pair == (None, None) and not allow_unkeyed:
        raise Invalid(UNKEYED)
    return (*pair, command[at:])


def weight_of(text: bytes) -> int:
    if not text.isdigit() or len(text) > WEIGHT_DIGITS:
        raise Invalid(f"weight is {_shown(text)}; give a whole number from 1 to {WEIGHT_MAX:,}")
    return int(text)


def as_counted(version: int, place: int) -> bytes:
    """The id of the entry, as Redis answers. `place`: of the vote, among those that were sent together with it."""
    return bulk(b"%d-%d" % (version, place))


@lru_cache(maxsize=8)
def all_counted(version: int, votes: int) -> bytes:
    """`as_counted` for votes that were sent together. Many clients send as many, and are counted together."""
    return b"".join([as_counted(version, place) for place in range(votes)])


def as_decided(version: int, place: int, code: int) -> bytes:
    if code <= Outcome.DUPLICATE:
        return as_counted(version, place)
    return _refusal(code)


@lru_cache
def _refusal(code: int) -> bytes:
    reason, detail = TOLD[code]
    return failure(CODES.get(reason, "ERR"), detail)


def _shown(word: bytes) -> str:
    return repr(word[:40].decode("utf-8", "replace"))
