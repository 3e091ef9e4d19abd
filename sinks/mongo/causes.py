"""Why MongoDB was not written or read, in words that name the cause and what to do about it.

The flush tells a failure once, as long as its words stay the same. So numbers that differ each time are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    InvalidName,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

DUPLICATE_KEY = 11000
UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
WRONG_PASSWORD = (11, AUTHENTICATION_FAILED, 8000)  # an unknown user too; 8000 is Atlas' own
GOES_ON = "the flush goes on when it is back"
TLS = "if it wants TLS, put tls=true into mongo.url; if it speaks none, leave that out"

# Parts of what the driver, MongoDB or FerretDB say, and what they mean. The first that fits is told.
UNREACHABLE: tuple[tuple[Sequence[str], str], ...] = (
    (
        ("is not valid for", "mismatch", "doesn't match"),
        "MongoDB's certificate has another name ({}); put a name that it has into mongo.url",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "MongoDB's certificate is not accepted ({}); tlsCAFile=FILE in mongo.url names the authority that signed it",
    ),
    (("SSL",), "MongoDB and this node do not agree on TLS ({}); " + TLS),
    (
        ("Name or service not known", "nodename nor servname", "name resolution", "getaddrinfo"),
        "the host name in mongo.url cannot be resolved ({}); correct it, or the name service",
    ),
    (("connection closed", "Connection reset"), f"MongoDB closes the connection ({{}}); {TLS}"),
    (("replica set name",), "MongoDB is no member of the replica set that mongo.url names ({}); correct replicaSet"),
    (("rimary",), "MongoDB has no primary ({}); the flush goes on when its members have elected one"),
)
REFUSED: tuple[tuple[Sequence[str], str], ...] = (
    (("requires authentication",), "MongoDB wants a user ({}); put name and password into mongo.url"),
    (
        ("No space left on device", "OutOfDiskSpace", "out of disk space", "available disk space"),
        "MongoDB's disk is full ({}); make room there, and the flush goes on",
    ),
    (("read-only", "read only"), "MongoDB takes no writes ({}); the flush goes on when it does"),
)
OUT_OF_DISK_SPACE = 14031


def in_words(error: Exception, timeout_s: float, hosts: Iterable[str] = ()) -> str:
    """`hosts` are those that mongo.url names, as host:port."""
    said = brief(str(error))
    if "Got response id" in said:  # the text has a number that differs each time
        return "MongoDB cannot be used: what answers there is no MongoDB; see mongo.url"
    if isinstance(error, ServerSelectionTimeoutError):
        return _unreachable(said, timeout_s, ", ".join(hosts))
    if isinstance(error, NotPrimaryError):
        named = f"what mongo.url names takes no writes ({said}); name the primary, or leave directConnection out"
        return refusal(said, None) or named
    if isinstance(error, BulkWriteError):
        return _unconfirmed(error.details)
    if isinstance(error, PyMongoError) and error.timeout:
        return f"MongoDB did not answer within {timeout_s:g} s ({said})"
    if isinstance(error, OperationFailure):
        return refusal(said, error.code) or f"MongoDB cannot be used: {said}"
    if isinstance(error, AutoReconnect):
        return f"the connection to MongoDB broke ({said}); {GOES_ON}"
    return f"MongoDB cannot be used: {said}{_setting(error, said)}"


def refusal(said: str, code: int | None) -> str | None:
    """What it means that MongoDB refuses a command, or a document, with these words; None if that is not known."""
    if code in WRONG_PASSWORD:
        return f"MongoDB knows no such user or password ({said}); correct mongo.url"
    for parts, words in REFUSED:
        if any(part in said for part in parts):
            return words.format(said)
    if code == OUT_OF_DISK_SPACE:
        return f"MongoDB's disk is full ({said}); make room there, and the flush goes on"
    if code == UNAUTHORIZED:
        return f"MongoDB refuses this user ({said}); give it the role readWrite"
    return None


def of_document(poll: str, error: Mapping[str, Any]) -> str:
    """Why the document of this poll was not written. The cause may be one that has nothing to do with the document."""
    said = brief(str(error.get("errmsg")))
    return refusal(said, error.get("code")) or f"MongoDB refuses the document of poll {poll!r}: {said}"


def _unreachable(said: str, timeout_s: float, hosts: str) -> str:
    if said.startswith("No servers found"):  # the driver was still waiting for an answer
        return f"MongoDB ({hosts}) did not answer within {timeout_s:g} s; {TLS}"
    for parts, words in UNREACHABLE:
        if any(part in said for part in parts):
            return words.format(said)
    return f"MongoDB cannot be reached ({said}); {GOES_ON}"


def _unconfirmed(details: Mapping[str, Any]) -> str:
    """The write was made, and too few members confirm it."""
    errors = details.get("writeConcernErrors") or [{}]
    said = brief(str(errors[0].get("errmsg")))
    return refusal(said, errors[0].get("code")) or (
        f"a majority of MongoDB's members does not confirm the write ({said}); {GOES_ON}"
    )


def _setting(error: Exception, said: str) -> str:
    """The setting to correct."""
    if isinstance(error, InvalidName):
        return "; correct mongo.database or mongo.collection"
    if isinstance(error, ConfigurationError) and "wire version" not in said:  # that one: the server is too old
        return "; correct mongo.url"
    if isinstance(error, OSError):
        return "; a file that mongo.url names cannot be read"
    return "; correct mongo.url" if isinstance(error, ValueError) else ""


def brief(text: str) -> str:
    """Without the details that differ each time."""
    for noise in (", Timeout:", ", full error:", " (configured timeouts:"):
        text = text.split(noise)[0]
    return " ".join(text.split())[:300]
