"""Every error a caller can meet: one small tree, each with its HTTP status and whether the effect may have happened.

`definite` is the word that matters to a voter: True says the request surely changed nothing, so it may be sent again
under any id; False says it may have been counted, so it must be sent again under the same id (Maelstrom calls these
definite and indefinite errors). Outcomes of votes are not errors: see `vote.Outcome`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class QuorateError(Exception):
    """Base of the tree. `detail` says what happened and what to do; `fields` go into the problem document."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed inside this node"
    definite: ClassVar[bool] = True
    retry_after_s: ClassVar[float | None] = None

    def __init__(self, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields


# What the client got wrong: nothing changed, and sending the same again will not help.


class Invalid(QuorateError):
    status, kind, title = 400, "invalid", "The request does not make sense"


class NotFound(QuorateError):
    status, kind, title = 404, "not-found", "There is nothing at this address"


class MethodNotAllowed(QuorateError):
    status, kind, title = 405, "method-not-allowed", "This address does not answer that method"


class TooLarge(QuorateError):
    status, kind, title = 413, "too_large", "The request is over a limit"


class HeadersTooLarge(QuorateError):
    status, kind, title = 431, "headers-too-large", "The request's headers are over a limit"


class TooSlow(QuorateError):
    status, kind, title = 408, "too-slow", "The request took too long to arrive"


class Forbidden(QuorateError):
    status, kind, title = 403, "forbidden", "That is not for you to ask"


class UnsupportedMedia(QuorateError):
    status, kind, title = 415, "unsupported-media-type", "This content type is not understood"


class UnknownPoll(QuorateError):
    status, kind, title = 404, "unknown_poll", "No such poll"


class UnknownOption(QuorateError):
    status, kind, title = 404, "unknown_option", "No open poll has this option"


class PollClosed(QuorateError):
    status, kind, title = 410, "closed", "The poll is not open"


class Conflict(QuorateError):
    status, kind, title = 409, "conflict", "The same id was used for something else"


class BadTransition(QuorateError):
    status, kind, title = 409, "bad-transition", "The poll cannot go to that state"


class ExpiredId(QuorateError):
    status, kind, title = 409, "expired_id", "Too old to tell whether it was counted"


class Rejected(QuorateError):
    """An all-or-nothing request held votes that cannot count; `fields["rejected"]` lists them."""

    status, kind, title = 400, "rejected", "Some votes cannot count, so none was counted"


# What the cluster could not do: surely not counted, try again.


class NoLeader(QuorateError):
    status, kind, title, retry_after_s = 503, "no-leader", "No leader is known", 0.5


class Overloaded(QuorateError):
    status, kind, title, retry_after_s = 429, "overloaded", "Too much is waiting already", 0.5


class NotReady(QuorateError):
    status, kind, title, retry_after_s = 503, "not-ready", "This node does not serve that now", 1.0


class Stale(QuorateError):
    """A read asked for a version this node has not reached by the deadline."""

    status, kind, title, retry_after_s = 503, "stale", "This node has not caught up yet", 0.5


# What nobody can know: it may have been counted.


class OutcomeUnknown(QuorateError):
    status, kind, title, definite = 504, "outcome-unknown", "It may or may not have been counted", False


# What stops a node.


class ConfigError(QuorateError):
    kind, title = "config", "The configuration is wrong"


class DataError(QuorateError):
    """The data directory cannot be used: damaged, foreign, locked or full. Says which file, and what to do."""

    kind, title = "data", "The data directory cannot be used"


class Halted(QuorateError):
    """The replica stopped itself because going on could make it answer wrongly."""

    kind, title = "halted", "This node stopped itself"
    status, definite = 503, False
