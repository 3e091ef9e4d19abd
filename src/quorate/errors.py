"""The errors that callers of several rooms meet, each with its HTTP status and whether it may have had an effect.

`definite` matters most to a voter. True: the request surely changed nothing, so it may be sent again under any id.
False: it may have been counted, so it must be sent again under the same id. (Maelstrom calls these definite and
indefinite errors.) The outcomes of votes are not errors: see `vote.Outcome`.
"""

from __future__ import annotations

from typing import Any, Self

from quorate.words import doubt_about


class QuorateError(Exception):
    """The base of all. `detail` says what happened and what to do; `fields` go into the problem document."""

    # Of each class. A client gives an error what the node said of it, where that is something else.
    status: int = 500
    kind: str = "internal"
    title: str = "Something failed inside this node"
    definite: bool = True
    retry_after_s: float | None = None

    def __init__(self, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields
        self.asked = ""  # in a client: the path of a request that changes something

    def about(self, path: str) -> Self:
        """This error, in a client that asked for a change by a request to that path."""
        self.asked = path
        return self


# Mistakes of the client: nothing changed, and sending the same request again will not help.


class Invalid(QuorateError):
    status, kind, title = 400, "invalid", "The request does not make sense"


class NotFound(QuorateError):
    status, kind, title = 404, "not-found", "Not found"


class MethodNotAllowed(QuorateError):
    status, kind, title = 405, "method-not-allowed", "This address does not answer that method"


class TooLarge(QuorateError):
    status, kind, title = 413, "too-large", "The request is over a limit"


class HeadersTooLarge(QuorateError):
    status, kind, title = 431, "headers-too-large", "The request's headers are over a limit"


class TooSlow(QuorateError):
    status, kind, title = 408, "too-slow", "The request took too long to arrive"


class Unauthorized(QuorateError):
    status, kind, title = 401, "unauthorized", "A token is needed"


class Forbidden(QuorateError):
    status, kind, title = 403, "forbidden", "That is not for you to ask"


class Misdirected(QuorateError):
    status, kind, title = 421, "misdirected", "This node has no such name"


class UnsupportedMedia(QuorateError):
    status, kind, title = 415, "unsupported-media-type", "This content type is not understood"


class UnknownPoll(QuorateError):
    status, kind, title = 404, "unknown-poll", "No such poll"


class UnknownOption(QuorateError):
    status, kind, title = 404, "unknown-option", "No open poll has this option"


class PollClosed(QuorateError):
    status, kind, title = 410, "closed", "The poll is not open"


class Deleted(QuorateError):
    """It was there and was deleted. What has its name now, if anything, is something else."""

    status, kind, title = 410, "deleted", "It was deleted"


class Gone(QuorateError):
    status, kind, title = 410, "gone", "That is no longer held"


class Conflict(QuorateError):
    status, kind, title = 409, "conflict", "It does not fit what is there"


class BadTransition(QuorateError):
    status, kind, title = 409, "bad-transition", "The poll cannot go to that state"


class PollArchived(QuorateError):
    status, kind, title = 409, "archived", "The poll is archived, and changes no more"


class ExpiredId(QuorateError):
    status, kind, title = 409, "expired-id", "Too old to tell whether it was counted"


class TooSoon(QuorateError):
    """It was changed so often that the cluster cannot take another change yet; the detail says until when."""

    status, kind, title = 409, "too-soon", "It was changed too often lately"


class NeedsLevel(QuorateError):
    """Not all nodes can do this. It is no 503: only an upgrade of the nodes that the detail names changes it, so a
    client that waits and tries again would wait in vain."""

    status, kind, title = 409, "needs-level", "Not all nodes of the cluster can do this yet"


class Rejected(QuorateError):
    """A request that counts completely or not at all has votes that cannot count; `fields["rejected"]` lists them."""

    status, kind, title = 400, "rejected", "Some votes cannot count, so none was counted"


# What the cluster could not do now: nothing was counted, so the client may try again.


class NoLeader(QuorateError):
    status, kind, title, retry_after_s = 503, "no-leader", "No leader is known", 0.5


class Overloaded(QuorateError):
    status, kind, title, retry_after_s = 429, "overloaded", "Too much is waiting already", 0.5


class OverRate(QuorateError):
    """A caller asks faster than its rate. When it may ask again is known to the millisecond."""

    status, kind, title, retry_after_s = 429, "over-rate", "That is faster than your rate", 1.0

    def __init__(self, detail: str, wait_s: float = 1.0, **fields: Any) -> None:
        super().__init__(detail, **fields)
        self.retry_after_s = round(wait_s, 3)


class NotReady(QuorateError):
    status, kind, title, retry_after_s = 503, "not-ready", "This node does not serve that now", 1.0


class Stale(QuorateError):
    """A read needs a version that this node did not reach by the deadline."""

    status, kind, title, retry_after_s = 503, "stale", "This node has not caught up yet", 0.5


# The outcome is unknown: the request may have been counted.


class OutcomeUnknown(QuorateError):
    status, kind, title, definite = 504, "outcome-unknown", "It is not known whether it was done", False

    def about(self, path: str) -> Self:
        """The title says what may have been done."""
        if (doubt := doubt_about(path)) is not None:
            self.title = doubt.title
        return super().about(path)


# What stops a node.


class ConfigError(QuorateError):
    kind, title = "config", "The configuration is wrong"


class DataError(QuorateError):
    """The data directory is damaged, foreign, locked or full. The detail names the file and says what to do."""

    kind, title = "data", "The data directory cannot be used"


class BackupUnusable(DataError):
    """A file is no backup, or none that is whole, or none for this version. The detail says which and what to do."""

    kind, title = "backup-unusable", "This backup cannot be used"


class BackupNotWritten(DataError):
    """The disk, or the store, did not take it. Nothing is there under its name but what was there before."""

    kind, title = "backup-not-written", "The backup was not written"


class Halted(QuorateError):
    """The replica stopped itself, because it could have given wrong answers."""

    kind, title = "halted", "This node stopped itself"
    status, definite = 503, False


class Removed(Halted):
    """The node is no member of the cluster any more. It must not be started again with this data directory."""

    kind, title = "removed", "This node was removed from the cluster"


# Four kinds were spelt with underscores up to 0.1.0. Nodes of 0.1.0 know only that spelling, so it still goes over peer
# connections; both spellings are read from peers and by the client. All of this goes in the release after next, when
# no node of 0.1.0 may be in a cluster any more: then a kind is sent and looked up as it is.
OLD_SPELLINGS = {kind: kind.replace("-", "_") for kind in ("too-large", "unknown-poll", "unknown-option", "expired-id")}
_NEW_SPELLINGS = {old: new for new, old in OLD_SPELLINGS.items()}


def kind_for_peers(kind: str) -> str:
    """The spelling of a kind that nodes of every version in the cluster understand."""
    return OLD_SPELLINGS.get(kind, kind)


def kind_from(received: str) -> str:
    """A kind that a node sent, in today's spelling."""
    return _NEW_SPELLINGS.get(received, received)


def class_of(kind: str) -> type[QuorateError] | None:
    """The class of a kind that a node sent, in either spelling. None: only a newer version has it."""
    return _CLASSES.get(kind_from(kind))


def _with_subclasses(cls: type[QuorateError]) -> list[type[QuorateError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _with_subclasses(child))]


_CLASSES = {cls.kind: cls for cls in _with_subclasses(QuorateError)}
